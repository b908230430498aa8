package dev.lockstep.device.cuda;

import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/// Which float32 values are 8-bit floats that were widened, and maybe multiplied by one number: a
/// graph's way of saying what a scaled tensor of 8 bits stands for. Values are known by what
/// reshapes of them show: their roots.
final class EightBitOperands {
  private final Map<Integer, Operand> operands = new HashMap<>();

  /// The single float32 that a value repeats, by the value's number.
  private final Map<Integer, Value> repeated = new HashMap<>();

  /// What an operand of a product is.
  ///
  /// @param value the 8-bit floats
  /// @param scales what they are multiplied by; one number or none
  record Operand(Value value, List<Value> scales) {}

  /// Takes note of a node; those that make its operands were noted before.
  ///
  /// @param root what a value's reshapes show
  void follow(Node node, UnaryOperator<Value> root) {
    if (node.inputs().isEmpty()) {
      return;
    }
    Value out = node.outputs().getFirst();
    Value in = root.apply(node.inputs().getFirst());
    if (node.op() instanceof Primitive.Convert(DType to)
        && to == DType.F32
        && EightBitProduct.isEight(in.type().dtype())) {
      operands.put(out.id(), new Operand(in, List.of()));
    } else if (node.op() instanceof Primitive.BroadcastTo
        && in.type().dtype() == DType.F32
        && in.type().shape().elements() == 1) {
      repeated.put(out.id(), in);
    } else if (node.op() instanceof Primitive.Mul) {
      Value other = root.apply(node.inputs().get(1));
      scale(out, in, other);
      scale(out, other, in);
    }
  }

  private void scale(Value out, Value wide, Value repeating) {
    Operand operand = operands.get(wide.id());
    Value scale = repeated.get(repeating.id());
    if (operand != null && scale != null && operand.scales.isEmpty()) {
      operands.put(out.id(), new Operand(operand.value, List.of(scale)));
    }
  }

  /// Returns what a value stands for; null if it is no operand.
  @Nullable Operand get(Value value) {
    return operands.get(value.id());
  }

  boolean contain(Value value) {
    return operands.containsKey(value.id());
  }

  /// Returns the number by which a node multiplies the result of another; null if it does not.
  @Nullable Value scale(Node scaling, Node product, UnaryOperator<Value> root) {
    if (!(scaling.op() instanceof Primitive.Mul)) {
      return null;
    }
    boolean isFirst = root.apply(scaling.inputs().getFirst()).equals(product.outputs().getFirst());
    return repeated.get(root.apply(scaling.inputs().get(isFirst ? 1 : 0)).id());
  }
}
