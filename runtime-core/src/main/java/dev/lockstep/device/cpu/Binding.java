package dev.lockstep.device.cpu;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import java.util.Collections;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// The tensors of a bound program, checked.
///
/// @param inputs addresses in the graph's order
/// @param outputs addresses in the graph's order; of an aliased output its input's
/// @param buffers every buffer once, to be leased while the program runs
@SuppressWarnings("ArrayRecordComponent") // never compared
record Binding(long[] inputs, long[] outputs, Buffer[] buffers) {
  static Binding of(Graph graph, Map<String, Tensor> tensors) {
    Set<String> unknown = new HashSet<>(tensors.keySet());
    Set<Buffer> buffers = Collections.newSetFromMap(new IdentityHashMap<>());
    long[] inputs = new long[graph.inputs().size()];
    for (int i = 0; i < inputs.length; i++) {
      Tensor tensor = find(graph, graph.inputs().get(i), tensors);
      unknown.remove(graph.inputs().get(i).name());
      inputs[i] = tensor.segment().address();
      buffers.add(tensor.buffer());
    }
    long[] outputs = new long[graph.outputs().size()];
    for (int i = 0; i < outputs.length; i++) {
      Graph.Named output = graph.outputs().get(i);
      String aliased = graph.aliases().get(output.name());
      unknown.remove(output.name());
      Tensor tensor =
          aliased == null ? find(graph, output, tensors) : aliased(graph, output, aliased, tensors);
      outputs[i] = tensor.segment().address();
      buffers.add(tensor.buffer());
    }
    if (!unknown.isEmpty()) {
      throw new IllegalArgumentException(
          "tensors that the graph does not know: graph=" + graph.name() + ", names=" + unknown);
    }
    return new Binding(inputs, outputs, buffers.toArray(Buffer[]::new));
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
