package dev.lockstep.device.cpu;

import dev.lockstep.device.plan.PlannedUnit;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// What becomes one step: a node, a chain of element-wise nodes, or a matrix product with the
/// addition and the chain that follow it and with the widening of its operands from bfloat16.
/// [Fusion] makes them.
///
/// @param node the first node
/// @param operands what is read in place of the node's inputs: these, or what they were widened
///   from
/// @param residual what is added to the product, if anything
/// @param chain element-wise nodes in the order in which they run, their values named by what
///   reshapes show; all of them, or those that follow a product; empty if the node stands alone
/// @param nodes all nodes, without those that other units do too
/// @param reads what is read, each time that it is
/// @param writes results that others read
record Unit(
    Node node,
    List<Value> operands,
    @Nullable Value residual,
    List<Node> chain,
    List<Node> nodes,
    List<Value> reads,
    List<Value> writes)
    implements PlannedUnit {
  Unit {
    operands = List.copyOf(operands);
    chain = List.copyOf(chain);
    nodes = List.copyOf(nodes);
    reads = List.copyOf(reads);
    writes = List.copyOf(writes);
  }

  /// A node that is fused with nothing.
  static Unit of(Node node) {
    List<Value> inputs = node.inputs();
    return new Unit(node, inputs, null, List.of(), List.of(node), inputs, node.outputs());
  }

  /// Whether an operand is read as bfloat16 that the node takes as float32.
  boolean isNarrow(int operand) {
    return !operands.get(operand).equals(node.inputs().get(operand));
  }

  /// Whether a product begins it.
  boolean isProduct() {
    return node.op() instanceof Primitive.MatMul || node.op() instanceof Composite.Linear;
  }

  /// What the chain takes from the product.
  Value product() {
    return nodes.get(residual == null ? 0 : 1).outputs().getFirst();
  }

  /// What all nodes together cost: their arithmetic, and what goes through memory.
  Cost cost() {
    if (nodes.size() == 1 && chain.isEmpty()) {
      return Cost.of(node);
    }
    long flops = 0;
    for (Node each : nodes) {
      flops += Cost.of(each).flops();
    }
    long bytes = 0;
    Set<Integer> counted = new HashSet<>();
    for (Value value : reads) {
      bytes += counted.add(value.id()) ? value.type().bytes() : 0;
    }
    for (Value value : writes) {
      bytes += value.type().bytes();
    }
    return new Cost(flops, bytes);
  }

  /// How much of the arithmetic is element-wise work that follows a product.
  long followingFlops() {
    return isProduct() ? cost().flops() - Cost.of(node).flops() : 0;
  }

  @Override
  public List<InPlace> inPlace() {
    if (!chain.isEmpty() || residual != null) {
      return inPlaceOfChain();
    }
    return switch (node.op()) {
      case Composite.Gelu _ -> List.of(new InPlace(0, 0));
      case Composite.GeluGrad _ -> List.of(new InPlace(0, 0), new InPlace(1, 0));
      case Composite.Silu _, Composite.Rotary _, Composite.Dropout _ -> List.of(new InPlace(0, 0));
      case Composite.SiluGrad _, Composite.SwiGlu _ ->
          List.of(new InPlace(0, 0), new InPlace(1, 0));
      case Composite.SwiGluGrad _ ->
          List.of(new InPlace(1, 0), new InPlace(2, 1), new InPlace(0, 0));
      case Composite.LayerNormGrad _, Composite.RmsNormGrad _ -> List.of(new InPlace(0, 0));
      case Composite.AdamW _ -> List.of(new InPlace(0, 0), new InPlace(2, 1), new InPlace(3, 2));
      case Composite _ -> List.of();
      case Primitive.Neg _, Primitive.Exp _, Primitive.Log _ -> List.of(new InPlace(0, 0));
      case Primitive.Tanh _, Primitive.Sqrt _, Primitive.Rsqrt _ -> List.of(new InPlace(0, 0));
      case Primitive.Add _, Primitive.Sub _, Primitive.Mul _, Primitive.Div _ -> either(0);
      case Primitive.Max _, Primitive.Min _ -> either(0);
      case Primitive.Select _ -> either(1);
      case Primitive _ -> List.of();
    };
  }

  private static List<InPlace> either(int first) {
    return List.of(new InPlace(first, 0), new InPlace(first + 1, 0));
  }

  /// A result may take the place of what no later link reads. What a product multiplies is read
  /// until the end, and is no pair.
  private List<InPlace> inPlaceOfChain() {
    Map<Integer, Integer> lastReads = new HashMap<>();
    Map<Integer, Integer> made = new HashMap<>();
    if (residual != null) {
      lastReads.put(residual.id(), -1);
    }
    if (isProduct()) {
      made.put(product().id(), -1);
    }
    for (int i = 0; i < chain.size(); i++) {
      for (Value value : chain.get(i).inputs()) {
        lastReads.put(value.id(), i);
      }
      for (Value value : chain.get(i).outputs()) {
        made.put(value.id(), i);
      }
    }
    List<InPlace> pairs = new ArrayList<>();
    for (int operand = isProduct() ? node.inputs().size() : 0; operand < reads.size(); operand++) {
      Integer last = lastReads.get(reads.get(operand).id());
      for (int result = 0; result < writes.size(); result++) {
        Integer at = made.get(writes.get(result).id());
        if (last != null && at != null && last <= at) {
          pairs.add(new InPlace(operand, result));
        }
      }
    }
    return pairs;
  }

  @Override
  public boolean isElementWise() {
    if (!chain.isEmpty() || residual != null) {
      return !isProduct();
    }
    return switch (node.op()) {
      case Composite.Gelu _, Composite.GeluGrad _, Composite.AdamW _ -> true;
      case Composite.Silu _, Composite.SiluGrad _ -> true;
      case Composite.SwiGlu _, Composite.SwiGluGrad _ -> true;
      case Composite _ -> false;
      case Primitive _ -> !inPlace().isEmpty();
    };
  }

  /// Whether all values are of `dtype`.
  boolean isAll(DType dtype) {
    return reads.stream().allMatch(value -> value.type().dtype() == dtype)
        && writes.stream().allMatch(value -> value.type().dtype() == dtype);
  }
}
