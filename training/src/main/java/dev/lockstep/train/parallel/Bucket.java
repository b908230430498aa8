package dev.lockstep.train.parallel;

import dev.lockstep.device.Device;
import dev.lockstep.graph.GraphSplitter.Collective;
import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Neighbouring all-reduces that run as one, because the operands of each subtree lie side by side
/// in one buffer.
///
/// @param op what each of them does
/// @param members results by slot, with each one's operands
record Bucket(Primitive.AllReduce op, Map<String, List<Tensor>> members) {

  /// Groups a run of collectives, in order.
  ///
  /// @param tensors memory of the operands by slot
  static List<Bucket> group(List<Collective> run, Map<String, Tensor> tensors) {
    List<Bucket> buckets = new ArrayList<>();
    for (Collective collective : run) {
      if (!(collective.op() instanceof Primitive.AllReduce op)) {
        throw new IllegalArgumentException(
            "collective has no runner yet: op=" + collective.op().label());
      }
      List<Tensor> operands = collective.inputs().stream().map(tensors::get).toList();
      if (buckets.isEmpty() || !buckets.getLast().continuedBy(op, operands)) {
        buckets.add(new Bucket(op, new LinkedHashMap<>()));
      }
      buckets.getLast().members.put(collective.output(), operands);
    }
    return buckets;
  }

  /// Whether these operands lie right behind the last ones, as a [FlatLayout] places them.
  private boolean continuedBy(Primitive.AllReduce next, List<Tensor> operands) {
    if (!op.equals(next)) {
      return false;
    }
    List<Tensor> last = List.of();
    for (List<Tensor> member : members.values()) {
      last = member;
    }
    for (int i = 0; i < operands.size(); i++) {
      Tensor before = last.get(i);
      Tensor after = operands.get(i);
      if (!before.buffer().equals(after.buffer())
          || after.offset() != FlatLayout.aligned(before.offset() + before.bytes())) {
        return false;
      }
    }
    return true;
  }

  /// Allocates the results side by side, laid out as the operands are.
  FlatTensors allocateResults(Device device) {
    return FlatTensors.allocateShared(device, "all-reduced", layout());
  }

  /// Returns the operands, for each subtree as one vector.
  List<Tensor> inputs() {
    long elements = layout().elements();
    return members.values().iterator().next().stream()
        .map(first -> new Tensor(first.buffer(), first.offset(), DType.F32, Shape.of(elements)))
        .toList();
  }

  private FlatLayout layout() {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    members.forEach((slot, operands) -> shapes.put(slot, operands.getFirst().shape()));
    return FlatLayout.of(shapes);
  }
}
