package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.RankGrid;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.AllGather;
import dev.lockstep.graph.Primitive.AllReduce;
import dev.lockstep.graph.Primitive.BroadcastFrom;
import dev.lockstep.graph.Primitive.BroadcastTo;
import dev.lockstep.graph.Primitive.Concat;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Convert;
import dev.lockstep.graph.Primitive.Div;
import dev.lockstep.graph.Primitive.Equal;
import dev.lockstep.graph.Primitive.Exp;
import dev.lockstep.graph.Primitive.Gather;
import dev.lockstep.graph.Primitive.Iota;
import dev.lockstep.graph.Primitive.Less;
import dev.lockstep.graph.Primitive.Log;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Primitive.Max;
import dev.lockstep.graph.Primitive.Min;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.Primitive.Neg;
import dev.lockstep.graph.Primitive.ReduceMax;
import dev.lockstep.graph.Primitive.ReduceScatter;
import dev.lockstep.graph.Primitive.ReduceSum;
import dev.lockstep.graph.Primitive.Reshape;
import dev.lockstep.graph.Primitive.Rsqrt;
import dev.lockstep.graph.Primitive.ScatterAdd;
import dev.lockstep.graph.Primitive.Select;
import dev.lockstep.graph.Primitive.Slice;
import dev.lockstep.graph.Primitive.Sqrt;
import dev.lockstep.graph.Primitive.Sub;
import dev.lockstep.graph.Primitive.Tanh;
import dev.lockstep.graph.Primitive.Transpose;
import dev.lockstep.graph.Primitive.Uniform;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;

/// Each primitive as HLO instructions.
final class Primitives {
  private final Computation emit;
  private final Sums sums;
  private final Collectives collectives;
  private final RankGrid ranks;

  Primitives(Computation emit, RankGrid ranks, SumOrder order) {
    this.emit = emit;
    this.ranks = ranks;
    this.sums = new Sums(emit);
    this.collectives = new Collectives(emit, ranks, order);
  }

  RankGrid ranks() {
    return ranks;
  }

  /// Emits one op, all of whose operands and results have elements.
  Hlo lower(Primitive op, List<Hlo> in, ValueType type) {
    return switch (op) {
      case Constant(ValueType _, double value) -> emit.fill(type, value);
      case Iota(ValueType _, int dim) -> emit.iota(type, dim);
      case Uniform uniform -> Philox32.uniform(emit, uniform, in.get(0), in.get(1));
      case Neg _ -> emit.unary("negate", in.getFirst());
      case Exp _ -> emit.unary("exponential", in.getFirst());
      case Log _ -> emit.unary("log", in.getFirst());
      case Tanh _ -> emit.unary("tanh", in.getFirst());
      case Sqrt _ -> emit.unary("sqrt", in.getFirst());
      // HLO's rsqrt may be an estimate; the primitive is the quotient of 1 and the root.
      case Rsqrt _ -> emit.binary("divide", emit.fill(type, 1), emit.unary("sqrt", in.getFirst()));
      case Add _ -> emit.binary("add", in.get(0), in.get(1));
      case Sub _ -> emit.binary("subtract", in.get(0), in.get(1));
      case Mul _ -> emit.binary("multiply", in.get(0), in.get(1));
      case Div _ -> divide(in.get(0), in.get(1));
      case Max _ -> emit.binary("maximum", in.get(0), in.get(1));
      case Min _ -> emit.binary("minimum", in.get(0), in.get(1));
      case Less _ -> emit.compare("LT", in.get(0), in.get(1));
      case Equal _ -> emit.compare("EQ", in.get(0), in.get(1));
      case Select _ -> emit.select(in.get(0), in.get(1), in.get(2));
      case Convert(DType to) -> convert(in.getFirst(), to);
      case Reshape(Shape to) -> emit.reshape(in.getFirst(), to);
      case Transpose(List<Integer> permutation) ->
          emit.transpose(in.getFirst(), type.shape(), longs(permutation));
      case BroadcastTo(Shape to, List<Integer> dims) -> broadcast(in.getFirst(), to, dims);
      case Slice(List<Long> starts, List<Long> limits) ->
          emit.slice(
              in.getFirst(),
              starts.stream().mapToLong(Long::longValue).toArray(),
              limits.stream().mapToLong(Long::longValue).toArray());
      case Concat(int dim) -> emit.concat(in, dim);
      case ReduceSum sum -> sums.reduceSum(sum, in.getFirst(), type);
      case ReduceMax(List<Integer> dims) -> reduceMax(in.getFirst(), dims);
      case MatMul product -> sums.matMul(product, in.get(0), in.get(1), type);
      case Gather _ -> emit.gatherRows(in.get(0), in.get(1), type);
      case ScatterAdd scatter -> sums.scatterAdd(scatter, in.get(0), in.get(1), type);
      case AllReduce all -> collectives.allReduce(all, in);
      case AllGather all -> collectives.allGather(all, in.getFirst());
      case ReduceScatter parts -> collectives.reduceScatter(parts, in);
      case BroadcastFrom from -> collectives.broadcastFrom(from, in.getFirst());
    };
  }

  /// Emits one op of which an operand has no elements though its result has some.
  Hlo lowerEmpty(Primitive op, List<Hlo> withElements, ValueType type) {
    return switch (op) {
      case ReduceSum _, MatMul _, ScatterAdd _ -> emit.fill(type, 0);
      case ReduceMax _ -> emit.fill(type, least(type.dtype()));
      case Concat(int dim) -> emit.concat(withElements, dim);
      default ->
          throw new IllegalStateException(
              "op makes something of nothing: op=" + op.label() + ", result=" + type);
    };
  }

  /// HLO leaves whole numbers over 0, and the least over -1, to its compiler: they never get there.
  private Hlo divide(Hlo a, Hlo b) {
    if (!a.dtype().isInteger()) {
      return emit.binary("divide", a, b);
    }
    Hlo zero = emit.fill(a.type(), 0);
    Hlo one = emit.fill(a.type(), 1);
    Hlo isZero = emit.compare("EQ", b, zero);
    Hlo divisor = emit.select(isZero, one, b);
    if (a.dtype() == DType.U8) {
      return emit.select(isZero, zero, emit.binary("divide", a, divisor));
    }
    Hlo negates = emit.compare("EQ", b, emit.fill(a.type(), -1));
    Hlo quotient = emit.binary("divide", a, emit.select(negates, one, divisor));
    return emit.select(isZero, zero, emit.select(negates, emit.unary("negate", a), quotient));
  }

  private Hlo convert(Hlo x, DType to) {
    if (to == DType.BOOL) {
      return truth(x);
    }
    return x.dtype().isFloat() && to.isInteger() ? whole(x, to) : emit.convert(x, to);
  }

  /// HLO cuts floats off where Lockstep rounds them, and leaves what does not fit to its compiler:
  /// that never gets there.
  private Hlo whole(Hlo x, DType to) {
    // Not every narrow float has the limits.
    Hlo wide = x.dtype().bytes() < Float.BYTES ? emit.convert(x, DType.F32) : x;
    Hlo rounded = emit.unary("round-nearest-even", wide);
    if (to == DType.I64) {
      return emit.convert(rounded, to); // no target has it
    }
    double least = least(to);
    double end = least + Math.scalb(1.0, Byte.SIZE * to.bytes());
    Hlo zero = emit.fill(rounded.type(), 0);
    Hlo isLess = emit.compare("LT", rounded, emit.fill(rounded.type(), least));
    Hlo isLessThanEnd = emit.compare("LT", rounded, emit.fill(rounded.type(), end)); // no NaN is
    Hlo isMore = emit.compare("GE", rounded, emit.fill(rounded.type(), end));
    Hlo fitting = emit.select(isLessThanEnd, emit.select(isLess, zero, rounded), zero);
    ValueType type = new ValueType(to, x.shape());
    return emit.select(
        isMore,
        emit.fill(type, end - 1),
        emit.select(isLess, emit.fill(type, least), emit.convert(fitting, to)));
  }

  /// Whether each element is not 0.
  Hlo truth(Hlo x) {
    return x.dtype() == DType.BOOL ? x : emit.compare("NE", x, emit.fill(x.type(), 0));
  }

  /// HLO's broadcast takes no unit dimensions for wider ones: they are reshaped away first.
  private Hlo broadcast(Hlo x, Shape to, List<Integer> dims) {
    List<Long> kept = new ArrayList<>();
    List<Integer> places = new ArrayList<>();
    for (int i = 0; i < dims.size(); i++) {
      if (x.shape().dim(i) == to.dim(dims.get(i))) {
        kept.add(x.shape().dim(i));
        places.add(dims.get(i));
      }
    }
    Hlo narrow = emit.reshape(x, Shape.of(kept));
    return narrow.shape().equals(to) ? narrow : emit.broadcast(narrow, to, longs(places));
  }

  private Hlo reduceMax(Hlo x, List<Integer> dims) {
    return dims.isEmpty() ? x : emit.reduce(x, "maximum", least(x.dtype()), longs(dims));
  }

  private static double least(DType dtype) {
    return switch (dtype) {
      case F64, F32, BF16, F16, F8_E4M3, F8_E5M2 -> Double.NEGATIVE_INFINITY;
      case F8_E4M3FN -> -448;
      case I64 -> Long.MIN_VALUE;
      case I32 -> Integer.MIN_VALUE;
      case I16 -> Short.MIN_VALUE;
      case I8 -> Byte.MIN_VALUE;
      case U8, BOOL -> 0;
    };
  }

  private static long[] longs(List<Integer> numbers) {
    return numbers.stream().mapToLong(Integer::longValue).toArray();
  }
}
