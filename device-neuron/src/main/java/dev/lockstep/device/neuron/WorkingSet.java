package dev.lockstep.device.neuron;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
import java.util.HashSet;
import java.util.Set;

/// How much memory a program's own values take at once. The compiler lays them out; what it takes
/// is not told before the program is loaded, so this is what a budget is charged.
final class WorkingSet {
  private WorkingSet() {}

  /// Returns the most bytes that values between inputs and outputs need at one node, each from the
  /// node that makes it to the last that reads it.
  static long bytes(Graph graph) {
    int[] lastRead = new int[graph.valueCount()];
    for (int i = 0; i < graph.nodes().size(); i++) {
      for (Value value : graph.nodes().get(i).inputs()) {
        lastRead[value.id()] = i;
      }
    }
    Set<Integer> elsewhere = new HashSet<>();
    graph.inputs().forEach(input -> elsewhere.add(input.value().id()));
    graph.outputs().forEach(output -> elsewhere.add(output.value().id()));
    long live = 0;
    long most = 0;
    for (int i = 0; i < graph.nodes().size(); i++) {
      Node node = graph.nodes().get(i);
      for (Value made : node.outputs()) {
        live += elsewhere.contains(made.id()) ? 0 : made.type().bytes();
      }
      most = Math.max(most, live);
      Set<Value> ending = new HashSet<>(node.inputs());
      ending.addAll(node.outputs());
      for (Value value : ending) {
        boolean ends = lastRead[value.id()] <= i && !elsewhere.contains(value.id());
        live -= ends ? value.type().bytes() : 0;
      }
    }
    return most;
  }
}
