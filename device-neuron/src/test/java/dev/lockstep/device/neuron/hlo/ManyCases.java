package dev.lockstep.device.neuron.hlo;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.OpCase;
import dev.lockstep.graph.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Many cases of ops side by side in one graph.
///
/// @param graph each case's op, on inputs of its own
/// @param inputs all of them
/// @param expected what each output should be
/// @param caseOf the case that each output is of
record ManyCases(
    Graph graph,
    Map<String, double[]> inputs,
    Map<String, double[]> expected,
    Map<String, OpCase> caseOf) {
  static ManyCases of(List<OpCase> cases) {
    GraphBuilder builder = new GraphBuilder("cases");
    Map<String, double[]> inputs = new HashMap<>();
    Map<String, double[]> expected = new LinkedHashMap<>();
    Map<String, OpCase> caseOf = new HashMap<>();
    for (int i = 0; i < cases.size(); i++) {
      OpCase each = cases.get(i);
      List<Value> operands = new ArrayList<>();
      for (int operand = 0; operand < each.types().size(); operand++) {
        String name = "c%d.in%d".formatted(i, operand);
        operands.add(builder.input(name, each.types().get(operand)));
        inputs.put(name, each.operands().get(operand));
      }
      List<Value> results = builder.apply(each.op(), operands);
      for (int result = 0; result < results.size(); result++) {
        String name = "c%d.out%d".formatted(i, result);
        builder.output(name, results.get(result));
        expected.put(name, each.expected().get(result));
        caseOf.put(name, each);
      }
    }
    return new ManyCases(builder.build(), inputs, expected, caseOf);
  }
}
