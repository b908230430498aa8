package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.RankGrid;
import dev.lockstep.graph.Graph;
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
    return new Emitted(graph, HloEmitter.emit(graph, ranks, order), ranks.ranks());
  }

  /// The parameters of a replica in the module's order.
  List<double[]> parameters(Map<String, double[]> inputs) {
    List<double[]> parameters = new ArrayList<>();
    for (HloModule.Port port : module.inputs()) {
      double[] elements = inputs.get(port.graphName());
      if (elements == null) {
        throw new IllegalArgumentException("input is missing: " + port.graphName());
      }
      parameters.add(elements);
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
    HloProgram program = HloProgram.read(module.proto());
    return HloInterpreter.run(program, inputs.stream().map(this::parameters).toList()).stream()
        .map(this::outputs)
        .toList();
  }
}
