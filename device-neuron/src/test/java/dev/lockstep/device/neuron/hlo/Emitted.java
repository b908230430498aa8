package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.RankGrid;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.ValueType;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// A graph with its module, and its inputs and outputs by the graph's names.
record Emitted(Graph graph, HloModule module, int replicas) {
  /// The module for one rank.
  static Emitted of(Graph graph) {
    return of(graph, RankGrid.ALONE, SumOrder.LANE_TREE);
  }

  static Emitted of(Graph graph, RankGrid ranks, SumOrder order) {
    return of(List.of(graph), ranks, order);
  }

  /// The one module of the graphs of several ranks.
  static Emitted of(List<Graph> graphs, RankGrid ranks, SumOrder order) {
    return new Emitted(graphs.getFirst(), HloEmitter.emit(graphs, ranks, order), ranks.ranks());
  }

  /// The types of the module's parameters.
  List<ValueType> parameterTypes() {
    List<ValueType> types = new ArrayList<>();
    module.inputs().forEach(port -> types.add(port.type()));
    if (module.readsRank()) {
      types.add(ValueType.i32());
    }
    return types;
  }

  /// The parameters of a replica in the module's order.
  List<double[]> parameters(int replica, Map<String, double[]> inputs) {
    List<double[]> parameters = new ArrayList<>();
    for (HloModule.Port port : module.inputs()) {
      double[] elements = inputs.get(port.graphName());
      if (elements == null) {
        throw new IllegalArgumentException("input is missing: " + port.graphName());
      }
      parameters.add(elements);
    }
    if (module.readsRank()) {
      parameters.add(new double[] {replica});
    }
    return parameters;
  }

  /// The graph's outputs of a replica, those without elements too.
  Map<String, double[]> outputs(List<double[]> results) {
    Map<String, double[]> outputs = new LinkedHashMap<>();
    graph.outputs().forEach(output -> outputs.put(output.name(), new double[0]));
    for (int i = 0; i < module.outputs().size(); i++) {
      outputs.put(module.outputs().get(i).graphName(), results.get(i));
    }
    return outputs;
  }

  /// The numbers of an output that must be there.
  static double[] numbers(Map<String, double[]> outputs, String name) {
    double[] found = outputs.get(name);
    if (found == null) {
      throw new AssertionError("output is missing: " + name);
    }
    return found;
  }

  /// Runs the module by the interpreter.
  ///
  /// @param inputs for each replica the graph's inputs
  List<Map<String, double[]>> interpreted(List<Map<String, double[]>> inputs) {
    List<List<double[]>> parameters = new ArrayList<>();
    for (int replica = 0; replica < inputs.size(); replica++) {
      parameters.add(parameters(replica, inputs.get(replica)));
    }
    return HloReplicas.run(HloProgram.read(module.proto()), parameters).stream()
        .map(this::outputs)
        .toList();
  }
}
