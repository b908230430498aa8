package dev.lockstep.device.cuda;

import dev.lockstep.device.plan.PlannedUnit;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
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

/// A node and what it reads: its inputs, or for a product the bfloat16 values that its inputs were
/// widened from.
///
/// @param node the node
/// @param reads what is read in place of the node's inputs
record CudaUnit(Node node, List<Value> reads) implements PlannedUnit {
  CudaUnit {
    reads = List.copyOf(reads);
  }

  /// Returns the units of a graph, in order. A reshape is none; nor is a widening that only
  /// products read.
  static List<CudaUnit> of(Graph graph) {
    Map<Integer, Value> widened = new HashMap<>();
    for (Node node : graph.nodes()) {
      if (node.op() instanceof Primitive.Convert(DType to)
          && to == DType.F32
          && node.inputs().getFirst().type().dtype() == DType.BF16) {
        widened.put(node.outputs().getFirst().id(), node.inputs().getFirst());
      }
    }
    List<CudaUnit> units = new ArrayList<>();
    Set<Integer> read = new HashSet<>();
    graph.outputs().forEach(output -> read.add(output.value().id()));
    for (Node node : graph.nodes()) {
      List<Value> reads = new ArrayList<>(node.inputs());
      if (isProduct(node)) {
        for (int operand = 0; operand < 2; operand++) {
          reads.set(operand, widened.getOrDefault(reads.get(operand).id(), reads.get(operand)));
        }
      }
      reads.forEach(value -> read.add(value.id()));
      if (!(node.op() instanceof Primitive.Reshape)) {
        units.add(new CudaUnit(node, reads));
      }
    }
    units.removeIf(
        unit ->
            widened.containsKey(unit.writes().getFirst().id())
                && !read.contains(unit.writes().getFirst().id()));
    return List.copyOf(units);
  }

  private static boolean isProduct(Node node) {
    return node.op() instanceof Primitive.MatMul || node.op() instanceof Composite.Linear;
  }

  @Override
  public List<Value> writes() {
    return node.outputs();
  }

  @Override
  public List<InPlace> inPlace() {
    return switch (node.op()) {
      case Composite.Gelu _, Composite.Silu _, Composite.Rotary _, Composite.Dropout _ ->
          List.of(new InPlace(0, 0));
      case Composite.GeluGrad _, Composite.SiluGrad _, Composite.SwiGlu _ -> either(0);
      case Composite.SwiGluGrad _ ->
          List.of(new InPlace(1, 0), new InPlace(2, 1), new InPlace(0, 0));
      case Composite.LayerNormGrad _, Composite.RmsNormGrad _ -> List.of(new InPlace(0, 0));
      case Composite.CrossEntropyGrad _ -> List.of(new InPlace(1, 0));
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

  @Override
  public boolean isElementWise() {
    return switch (node.op()) {
      case Composite.Gelu _, Composite.GeluGrad _, Composite.AdamW _ -> true;
      case Composite.Silu _, Composite.SiluGrad _ -> true;
      case Composite.SwiGlu _, Composite.SwiGluGrad _ -> true;
      case Composite _ -> false;
      case Primitive _ -> !inPlace().isEmpty();
    };
  }
}
