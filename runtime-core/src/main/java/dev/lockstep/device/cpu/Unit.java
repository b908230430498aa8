package dev.lockstep.device.cpu;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// What becomes one step: a node, or a matrix product with the addition that follows it and with
/// the widening of its operands from bfloat16.
///
/// @param node the node; of a fused pair the product
/// @param operands what is read in place of the node's inputs: these, or what they were widened
///   from
/// @param residual what is added to the product, if anything
/// @param writes results; of a fused pair those of the addition
record Unit(Node node, List<Value> operands, @Nullable Value residual, List<Value> writes) {
  /// An operand whose memory a result may take if nothing reads it later.
  ///
  /// @param operand position among [#reads]
  /// @param result position among [#writes]
  record InPlace(int operand, int result) {}

  Unit {
    operands = List.copyOf(operands);
    writes = List.copyOf(writes);
  }

  /// Operands in order, the residual last.
  List<Value> reads() {
    List<Value> reads = new ArrayList<>(operands);
    if (residual != null) {
      reads.add(residual);
    }
    return reads;
  }

  /// Whether an operand is read as bfloat16 that the node takes as float32.
  boolean isNarrow(int operand) {
    return !operands.get(operand).equals(node.inputs().get(operand));
  }

  /// Cuts a graph into units; a product moves to the addition that it is fused with. Reshapes are
  /// views and need none.
  static List<Unit> of(Graph graph) {
    int[] uses = new int[graph.valueCount()];
    Node[] makers = new Node[graph.valueCount()];
    for (Node node : graph.nodes()) {
      node.inputs().forEach(value -> uses[value.id()]++);
      node.outputs().forEach(value -> makers[value.id()] = node);
    }
    graph.outputs().forEach(output -> uses[output.value().id()]++);
    boolean[] fused = new boolean[graph.valueCount()];
    List<Unit> units = new ArrayList<>();
    for (Node node : graph.nodes()) {
      if (!(node.op() instanceof Primitive.Reshape)) {
        units.add(unit(node, uses, makers, fused));
      }
    }
    units.removeIf(
        unit ->
            unit.residual == null && fused[unit.writes.getFirst().id()]); // moved to its addition
    removeUnreadWidenings(graph, units, makers);
    return units;
  }

  /// A product reads bfloat16 itself, so what widens for products alone is not needed.
  private static void removeUnreadWidenings(Graph graph, List<Unit> units, Node[] makers) {
    Set<Value> read = new HashSet<>();
    for (Unit unit : units) {
      unit.reads().forEach(value -> read.add(shown(value, makers)));
    }
    graph.outputs().forEach(output -> read.add(shown(output.value(), makers)));
    units.removeIf(unit -> isWidening(unit.node) && !read.contains(unit.node.outputs().getFirst()));
  }

  private static boolean isWidening(Node node) {
    return node.op() instanceof Primitive.Convert(DType to)
        && to == DType.F32
        && node.inputs().getFirst().type().dtype() == DType.BF16;
  }

  /// What reshapes of a value show.
  private static Value shown(Value value, Node[] makers) {
    Node maker = makers[value.id()];
    return maker != null && maker.op() instanceof Primitive.Reshape
        ? shown(maker.inputs().getFirst(), makers)
        : value;
  }

  /// What a node reads: of a product, the bfloat16 that its matrices were widened from.
  private static List<Value> operands(Node node, Node[] makers) {
    if (!isProduct(node)) {
      return node.inputs();
    }
    List<Value> operands = new ArrayList<>(node.inputs());
    for (int i = 0; i < 2; i++) {
      Node maker = makers[shown(operands.get(i), makers).id()];
      if (maker != null && isWidening(maker)) {
        operands.set(i, maker.inputs().getFirst());
      }
    }
    return operands;
  }

  private static Unit unit(Node node, int[] uses, Node[] makers, boolean[] fused) {
    if (node.op() instanceof Primitive.Add) {
      for (int i = 0; i < 2; i++) {
        Value product = node.inputs().get(i);
        Node maker = makers[product.id()];
        if (maker != null && uses[product.id()] == 1 && isProduct(maker)) {
          fused[product.id()] = true;
          return new Unit(maker, operands(maker, makers), node.inputs().get(1 - i), node.outputs());
        }
      }
    }
    return new Unit(node, operands(node, makers), null, node.outputs());
  }

  private static boolean isProduct(Node node) {
    return node.op() instanceof Primitive.MatMul || node.op() instanceof Composite.Linear;
  }

  /// Returns which results may lie where an operand lay: element `i` of the result is written after
  /// the last read of element `i` of the operand.
  List<InPlace> inPlace() {
    if (residual != null) {
      return List.of(new InPlace(node.inputs().size(), 0));
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

  /// Whether every element of every operand is read before the same element of a result is written,
  /// so that operands may share memory with each other too.
  boolean isElementWise() {
    return residual == null
        && switch (node.op()) {
          case Composite.Gelu _, Composite.GeluGrad _, Composite.AdamW _ -> true;
          case Composite.Silu _, Composite.SiluGrad _ -> true;
          case Composite.SwiGlu _, Composite.SwiGluGrad _ -> true;
          case Composite _ -> false;
          case Primitive _ -> !inPlace().isEmpty();
        };
  }

  /// Whether all values are of `dtype`.
  boolean isAll(DType dtype) {
    return reads().stream().allMatch(value -> value.type().dtype() == dtype)
        && writes.stream().allMatch(value -> value.type().dtype() == dtype);
  }
}
