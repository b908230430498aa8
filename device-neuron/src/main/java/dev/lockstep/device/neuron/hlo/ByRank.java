package dev.lockstep.device.neuron.hlo;

import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Slice;
import dev.lockstep.graph.Primitive.Uniform;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;

/// Ops whose numbers follow from the rank, in a module that all ranks run: the numbers stand in
/// tables, and the rank's is read at its place.
final class ByRank {
  private final Computation emit;
  private final Hlo rank;

  /// @param rank I32 `[]`
  ByRank(Computation emit, Hlo rank) {
    this.emit = emit;
    this.rank = rank;
  }

  /// Emits one op that is another for each rank.
  ///
  /// @param ops by rank, alike but for their numbers ([RankVariants])
  Hlo lower(List<Op> ops, List<Hlo> in, ValueType type) {
    return switch (ops.getFirst()) {
      case Constant _ -> {
        Hlo number = number(type.dtype(), ops, op -> ((Constant) op).value());
        yield type.shape().rank() == 0 ? number : emit.broadcast(number, type.shape());
      }
      case Slice(List<Long> starts, var _) ->
          emit.dynamicSlice(
              in.getFirst(),
              numbers(starts.size(), ops, op -> ((Slice) op).starts()),
              type.shape());
      case Uniform uniform -> {
        int dims = uniform.part().shape().rank();
        List<Hlo> starts = numbers(dims, ops, op -> ((Uniform) op).part().starts());
        yield Philox32.uniform(emit, uniform, starts, in.get(0), in.get(1));
      }
      default ->
          throw new IllegalStateException(
              "op is the same for all ranks: op=" + ops.getFirst().label());
    };
  }

  private interface Starts {
    List<Long> of(Op op);
  }

  private List<Hlo> numbers(int count, List<Op> ops, Starts starts) {
    List<Hlo> numbers = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      int dim = i;
      numbers.add(number(DType.I32, ops, op -> (double) starts.of(op).get(dim)));
    }
    return numbers;
  }

  /// The rank's number.
  private Hlo number(DType dtype, List<Op> ops, ToDoubleFunction<Op> of) {
    double[] numbers = ops.stream().mapToDouble(of).toArray();
    boolean isOne = true;
    for (double number : numbers) {
      isOne &= Double.compare(number, numbers[0]) == 0;
    }
    if (isOne) {
      return emit.scalar(dtype, numbers[0]);
    }
    Hlo table = emit.table(dtype.isFloat() ? DType.F32 : DType.I32, numbers);
    Hlo own = emit.dynamicSlice(table, List.of(rank), Shape.of(1));
    return emit.convert(emit.reshape(own, Shape.scalar()), dtype);
  }
}
