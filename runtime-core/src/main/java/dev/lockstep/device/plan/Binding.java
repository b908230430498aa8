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

  /// Checks that every input and every output of a graph has a tensor of its type, and that every
  /// output has its memory to itself, but for the input that it updates in place. Inputs may share
  /// memory.
  ///
  /// @param tensors by name; an aliased output may be left out
  /// @throws IllegalArgumentException if one is missing, unknown, or of another type, an aliased
  ///   output does not lie where its input lies, or an output lies in another tensor's memory
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
    requireOwnMemory(graph, inputs, outputs);
    return new Binding(inputs, outputs, List.copyOf(buffers));
  }

  /// Programs are planned, and kernels run, as if nothing but what they write changed an input: an
  /// output over one would be overwritten, or overwrite it, while it is still read.
  private static void requireOwnMemory(Graph graph, List<Tensor> inputs, List<Tensor> outputs) {
    for (int i = 0; i < outputs.size(); i++) {
      Graph.Named output = graph.outputs().get(i);
      String updated = graph.aliases().get(output.name());
      for (int j = 0; j < inputs.size(); j++) {
        Graph.Named input = graph.inputs().get(j);
        if (!input.name().equals(updated)) {
          requireApart(graph, output, outputs.get(i), input, inputs.get(j));
        }
      }
      for (int j = 0; j < i; j++) {
        requireApart(graph, output, outputs.get(i), graph.outputs().get(j), outputs.get(j));
      }
    }
  }

  private static void requireApart(
      Graph graph, Graph.Named output, Tensor written, Graph.Named other, Tensor tensor) {
    if (tensor.buffer().equals(written.buffer())
        && Math.max(tensor.offset(), written.offset())
            < Math.min(tensor.offset() + tensor.bytes(), written.offset() + written.bytes())) {
      throw new IllegalArgumentException(
          "output lies in another tensor's memory: graph=%s, output=%s, other=%s, buffer=%s, outputBytes=[%d, %d), otherBytes=[%d, %d) (bind memory of its own, or declare in the graph that it updates its input)"
              .formatted(
                  graph.name(),
                  output.name(),
                  other.name(),
                  written.buffer().name(),
                  written.offset(),
                  written.offset() + written.bytes(),
                  tensor.offset(),
                  tensor.offset() + tensor.bytes()));
    }
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
