package dev.lockstep.train.parallel;

import dev.lockstep.graph.GraphSplitter.Collective;
import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Neighbouring all-reduces that run as one, because the operands of each subtree lie side by side
/// in one buffer; any other collective is a bucket of its own, and so is one whose result has a
/// place already.
///
/// @param op what each of them does
/// @param members results by slot, with each one's operands
record Bucket(Primitive op, Map<String, List<Tensor>> members) {

  /// Groups a run of collectives, in order.
  ///
  /// @param tensors memory by slot, of the operands and of what has a place
  static List<Bucket> group(List<Collective> run, Map<String, Tensor> tensors) {
    List<Bucket> buckets = new ArrayList<>();
    boolean lastIsBound = false;
    for (Collective collective : run) {
      List<Tensor> operands = collective.inputs().stream().map(tensors::get).toList();
      boolean isBound = tensors.containsKey(collective.output());
      if (isBound
          || buckets.isEmpty()
          || lastIsBound
          || !buckets.getLast().continuedBy(collective.op(), operands)) {
        buckets.add(new Bucket(collective.op(), new LinkedHashMap<>()));
      }
      buckets.getLast().members.put(collective.output(), operands);
      lastIsBound = isBound;
    }
    return buckets;
  }

  /// Whether these operands lie right behind the last ones, as a [FlatLayout] places them.
  private boolean continuedBy(Primitive next, List<Tensor> operands) {
    if (!(op instanceof Primitive.AllReduce) || !op.equals(next)) {
      return false;
    }
    List<Tensor> last = List.of();
    for (List<Tensor> member : members.values()) {
      last = member;
    }
    for (int i = 0; i < operands.size(); i++) {
      Tensor before = last.get(i);
      Tensor after = operands.get(i);
      if (before.dtype() != after.dtype()
          || !before.buffer().equals(after.buffer())
          || after.offset() != FlatLayout.aligned(before.offset() + before.bytes())) {
        return false;
      }
    }
    return true;
  }

  /// Whether this is one collective alone.
  boolean isSingle() {
    return members.size() == 1;
  }

  /// Returns the operands, for each subtree as one vector.
  List<Tensor> inputs() {
    List<Tensor> first = members.values().iterator().next();
    long elements = isSingle() ? first.getFirst().shape().elements() : layout().elements();
    return first.stream()
        .map(start -> new Tensor(start.buffer(), start.offset(), start.dtype(), Shape.of(elements)))
        .toList();
  }

  /// Returns how the results lie side by side, as the operands do.
  FlatLayout layout() {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    members.forEach((slot, operands) -> shapes.put(slot, operands.getFirst().shape()));
    return FlatLayout.of(shapes);
  }
}
