package dev.lockstep.device.plan;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// The tensors of a bound program, checked.
///
/// @param inputs in the graph's order
/// @param outputs in the graph's order; of an aliased output its input's
/// @param buffers every buffer once, to be leased while the program runs
public record Binding(List<Tensor> inputs, List<Tensor> outputs, List<Buffer> buffers) {
  /// Copies the lists.
  public Binding {
    inputs = List.copyOf(inputs);
    outputs = List.copyOf(outputs);
    buffers = List.copyOf(buffers);
  }

  /// Checks that every input and every output of a graph has a tensor of its type.
  ///
  /// @param tensors by name; an aliased output may be left out
  /// @throws IllegalArgumentException if one is missing, unknown, or of another type, or an aliased
  ///   output does not lie where its input lies
  public static Binding of(Graph graph, Map<String, Tensor> tensors) {
    Set<String> unknown = new HashSet<>(tensors.keySet());
    Set<Buffer> buffers = Collections.newSetFromMap(new IdentityHashMap<>());
    List<Tensor> inputs = new ArrayList<>();
    for (Graph.Named input : graph.inputs()) {
      Tensor tensor = find(graph, input, tensors);
      unknown.remove(input.name());
      inputs.add(tensor);
      buffers.add(tensor.buffer());
    }
    List<Tensor> outputs = new ArrayList<>();
    for (Graph.Named output : graph.outputs()) {
      String aliased = graph.aliases().get(output.name());
      unknown.remove(output.name());
      Tensor tensor =
          aliased == null ? find(graph, output, tensors) : aliased(graph, output, aliased, tensors);
      outputs.add(tensor);
      buffers.add(tensor.buffer());
    }
    if (!unknown.isEmpty()) {
      throw new IllegalArgumentException(
          "tensors that the graph does not know: graph=" + graph.name() + ", names=" + unknown);
    }
    return new Binding(inputs, outputs, List.copyOf(buffers));
  }

  private static Tensor find(Graph graph, Graph.Named named, Map<String, Tensor> tensors) {
    Tensor tensor = tensors.get(named.name());
    if (tensor == null) {
      throw new IllegalArgumentException(
          "tensor is not bound: graph=" + graph.name() + ", name=" + named.name());
    }
    ValueType given = new ValueType(tensor.dtype(), tensor.shape());
    if (!given.equals(named.value().type())) {
      throw new IllegalArgumentException(
          "tensor is of another type: graph=%s, name=%s, expected=%s, bound=%s"
              .formatted(graph.name(), named.name(), named.value().type(), given));
    }
    return tensor;
  }

  private static Tensor aliased(
      Graph graph, Graph.Named output, String input, Map<String, Tensor> tensors) {
    Tensor target = tensors.get(input);
    @Nullable Tensor bound = tensors.get(output.name());
    if (target == null) {
      throw new IllegalArgumentException(
          "tensor is not bound: graph=" + graph.name() + ", name=" + input);
    }
    if (bound != null
        && (!bound.buffer().equals(target.buffer()) || bound.offset() != target.offset())) {
      throw new IllegalArgumentException(
          "output must be bound to its input's memory: graph=%s, output=%s, input=%s"
              .formatted(graph.name(), output.name(), input));
    }
    return target;
  }
}
