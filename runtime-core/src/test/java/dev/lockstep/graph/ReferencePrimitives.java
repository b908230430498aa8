package dev.lockstep.graph;

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
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Philox;
import dev.lockstep.tensor.Shape;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleBinaryOperator;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.IntStream;

/// Primitives in float64.
final class ReferencePrimitives {
  private final List<double[]> in;
  private final List<ValueType> types;
  private final ValueType result;
  private final Shape shape;

  ReferencePrimitives(List<double[]> in, List<ValueType> types, ValueType result) {
    this.in = in;
    this.types = types;
    this.result = result;
    this.shape = result.shape();
  }

  double[] run(Primitive primitive) {
    return switch (primitive) {
      case Constant(ValueType type, double value) ->
          generate(_ -> Rounding.round(value, type.dtype()));
      case Primitive.Uniform(Primitive.Part part, long seed, int tensor) ->
          generate(index -> random(part, seed, tensor, index));
      case Iota(ValueType _, int dim) -> generate(index -> index[dim]);
      case Neg _ -> map(x -> -x);
      case Exp _ -> map(Math::exp);
      case Log _ -> map(Math::log);
      case Tanh _ -> map(Math::tanh);
      case Sqrt _ -> map(Math::sqrt);
      case Rsqrt _ -> map(x -> 1 / Math.sqrt(x));
      case Add _ -> zip(Double::sum);
      case Sub _ -> zip((a, b) -> a - b);
      case Mul _ -> zip((a, b) -> a * b);
      case Div _ -> zip(result.dtype().isFloat() ? (a, b) -> a / b : this::quotient);
      case Max _ -> zip(Math::max);
      case Min _ -> zip(Math::min);
      case Less _ -> zip((a, b) -> a < b ? 1 : 0);
      case Equal _ -> zip((a, b) -> a == b ? 1 : 0);
      case Select _ -> select();
      case Convert(DType to) -> map(x -> Rounding.round(x, to));
      case Reshape _ -> in.getFirst().clone();
      case Transpose(List<Integer> permutation) -> transpose(permutation);
      case BroadcastTo(Shape _, List<Integer> dims) -> broadcast(dims);
      case Slice(List<Long> starts, List<Long> _) -> slice(starts);
      case Concat(int dim) -> concat(dim);
      case ReduceSum(List<Integer> dims, Blocks _) -> reduce(dims, 0, Double::sum);
      case ReduceMax(List<Integer> dims) -> reduce(dims, Double.NEGATIVE_INFINITY, Math::max);
      case MatMul matMul -> matMul(matMul);
      case Gather _ -> gather();
      case ScatterAdd _ -> scatterAdd();
      case AllReduce(String _, ReduceOp op, LaneSplit lanes) -> contributions(op, lanes);
      case ReduceScatter(String _, ReduceOp op, LaneSplit lanes, int _) -> contributions(op, lanes);
      case AllGather(String _, int ranks, int _) -> alone(ranks);
      case BroadcastFrom _ -> alone(1);
    };
  }

  /// Of whole numbers; what does not fit keeps its low bits.
  private double quotient(double a, double b) {
    long quotient = b == 0 ? 0 : (long) a / (long) b;
    return switch (result.dtype()) {
      case I32 -> (int) quotient;
      case I16 -> (short) quotient;
      case I8 -> (byte) quotient;
      default -> quotient;
    };
  }

  /// Makes an element from its index.
  private interface ByIndex {
    double at(int[] index);
  }

  /// By the definition: four words to a block, which make elements 16 apart.
  private double random(Primitive.Part part, long seed, int tensor, int[] index) {
    long flat = 0;
    for (int dim = 0; dim < index.length; dim++) {
      flat = flat * part.whole().dim(dim) + part.starts().get(dim) + index[dim];
    }
    long at = ((long) in.get(1)[0]) * part.whole().elements() + flat;
    long stream = ((long) in.get(0)[0]) + ((long) tensor << 32);
    long block = at / 64 * 16 + at % 16;
    int word = (int) (at % 64 / 16);
    long bits = word < 2 ? Philox.bits(seed, stream, block) : Philox.moreBits(seed, stream, block);
    return ((bits >>> (32 * (word % 2) + 8)) & 0xFF_FFFFL) * 0x1.0p-24;
  }

  private double[] generate(ByIndex element) {
    double[] out = new double[ReferenceInterpreter.size(shape)];
    int[] index = new int[shape.rank()];
    for (int flat = 0; flat < out.length; flat++) {
      int rest = flat;
      for (int dim = shape.rank() - 1; dim >= 0; dim--) {
        index[dim] = rest % extent(shape, dim);
        rest /= extent(shape, dim);
      }
      out[flat] = element.at(index);
    }
    return out;
  }

  private static int extent(Shape shape, int dim) {
    return Math.toIntExact(shape.dim(dim));
  }

  private static int flat(Shape shape, int[] index) {
    int flat = 0;
    for (int dim = 0; dim < shape.rank(); dim++) {
      flat = flat * extent(shape, dim) + index[dim];
    }
    return flat;
  }

  private double[] map(DoubleUnaryOperator function) {
    return Arrays.stream(in.getFirst()).map(function).toArray();
  }

  private double[] zip(DoubleBinaryOperator function) {
    double[] a = in.get(0);
    double[] b = in.get(1);
    return IntStream.range(0, a.length)
        .mapToDouble(i -> function.applyAsDouble(a[i], b[i]))
        .toArray();
  }

  private double[] select() {
    double[] condition = in.get(0);
    return IntStream.range(0, condition.length)
        .mapToDouble(i -> condition[i] != 0 ? in.get(1)[i] : in.get(2)[i])
        .toArray();
  }

  private double[] transpose(List<Integer> permutation) {
    Shape from = types.getFirst().shape();
    int[] source = new int[from.rank()];
    return generate(
        index -> {
          for (int dim = 0; dim < index.length; dim++) {
            source[permutation.get(dim)] = index[dim];
          }
          return in.getFirst()[flat(from, source)];
        });
  }

  private double[] broadcast(List<Integer> dims) {
    Shape from = types.getFirst().shape();
    int[] source = new int[from.rank()];
    return generate(
        index -> {
          for (int dim = 0; dim < source.length; dim++) {
            source[dim] = from.dim(dim) == 1 ? 0 : index[dims.get(dim)];
          }
          return in.getFirst()[flat(from, source)];
        });
  }

  private double[] slice(List<Long> starts) {
    Shape from = types.getFirst().shape();
    int[] source = new int[from.rank()];
    return generate(
        index -> {
          for (int dim = 0; dim < index.length; dim++) {
            source[dim] = Math.toIntExact(starts.get(dim)) + index[dim];
          }
          return in.getFirst()[flat(from, source)];
        });
  }

  private double[] concat(int dim) {
    return generate(
        index -> {
          int[] source = index.clone();
          int part = 0;
          while (source[dim] >= extent(types.get(part).shape(), dim)) {
            source[dim] -= extent(types.get(part).shape(), dim);
            part++;
          }
          return in.get(part)[flat(types.get(part).shape(), source)];
        });
  }

  private double[] reduce(List<Integer> dims, double start, DoubleBinaryOperator join) {
    Shape from = types.getFirst().shape();
    double[] out = new double[ReferenceInterpreter.size(shape)];
    Arrays.fill(out, start);
    double[] x = in.getFirst();
    for (int i = 0; i < x.length; i++) {
      int rest = i;
      int target = 0;
      int stride = 1;
      for (int dim = from.rank() - 1; dim >= 0; dim--) {
        int index = rest % extent(from, dim);
        rest /= extent(from, dim);
        if (!dims.contains(dim)) {
          target += index * stride;
          stride *= extent(from, dim);
        }
      }
      out[target] = join.applyAsDouble(out[target], x[i]);
    }
    return out;
  }

  private double[] matMul(MatMul product) {
    Shape left = types.get(0).shape();
    Shape right = types.get(1).shape();
    int rank = left.rank();
    int m = extent(shape, rank - 2);
    int n = extent(shape, rank - 1);
    int k = extent(left, product.transposeA() ? rank - 2 : rank - 1);
    boolean shared = right.rank() < rank;
    double[] out = new double[ReferenceInterpreter.size(shape)];
    int batches = m * n == 0 ? 0 : out.length / (m * n);
    for (int batch = 0; batch < batches; batch++) {
      int a = batch * m * k;
      int b = shared ? 0 : batch * k * n;
      for (int row = 0; row < m; row++) {
        for (int column = 0; column < n; column++) {
          double sum = 0;
          for (int i = 0; i < k; i++) {
            double x = in.get(0)[a + (product.transposeA() ? i * m + row : row * k + i)];
            double y = in.get(1)[b + (product.transposeB() ? column * k + i : i * n + column)];
            sum += x * y;
          }
          out[(batch * m + row) * n + column] = sum;
        }
      }
    }
    return out;
  }

  private double[] gather() {
    int ids = in.get(1).length;
    double[] out = new double[ReferenceInterpreter.size(shape)];
    int width = ids == 0 ? 0 : out.length / ids;
    for (int i = 0; i < ids; i++) {
      int row = (int) in.get(1)[i];
      System.arraycopy(in.get(0), row * width, out, i * width, width);
    }
    return out;
  }

  private double[] scatterAdd() {
    double[] out = new double[ReferenceInterpreter.size(shape)];
    int width = extent(shape, 1);
    for (int i = 0; i < in.get(0).length; i++) {
      int row = (int) in.get(0)[i];
      for (int column = 0; column < width; column++) {
        out[row * width + column] += in.get(1)[i * width + column];
      }
    }
    return out;
  }

  private double[] contributions(ReduceOp op, LaneSplit lanes) {
    requireAlone(lanes.ranks().size());
    double[] out = in.getFirst().clone();
    for (double[] contribution : in.subList(1, in.size())) {
      for (int i = 0; i < out.length; i++) {
        out[i] = join(op, out[i], contribution[i]);
      }
    }
    for (int i = 0; op instanceof ReduceOp.Avg && i < out.length; i++) {
      out[i] /= lanes.lanes();
    }
    return out;
  }

  private static double join(ReduceOp op, double a, double b) {
    return switch (op) {
      case ReduceOp.Sum _, ReduceOp.Avg _ -> a + b;
      case ReduceOp.Prod _ -> a * b;
      case ReduceOp.Min _ -> Math.min(a, b);
      case ReduceOp.Max _ -> Math.max(a, b);
      default -> throw new IllegalArgumentException("not modelled: op=" + op.label());
    };
  }

  private double[] alone(int ranks) {
    requireAlone(ranks);
    return in.getFirst().clone();
  }

  private static void requireAlone(int ranks) {
    if (ranks != 1) {
      throw new IllegalArgumentException("the reference is a single rank: ranks=" + ranks);
    }
  }
}
