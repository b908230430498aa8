package dev.lockstep.graph;

import java.util.List;
import java.util.StringJoiner;
import java.util.stream.Collectors;

/// Graphs as text for people and as `dot` for Graphviz.
public final class GraphPrinter {
  private GraphPrinter() {}

  /// Returns one line per input, node and output, in order:
  ///
  /// ```
  /// graph block
  ///   input  x = %0: F32[2, 3]
  ///   %2: F32[2, 4] = MatMul(%0, %1) {transposeA=false, …}  48 FLOPs, 104 bytes
  ///   output y = %2
  /// ```
  public static String text(Graph graph) {
    StringBuilder text = new StringBuilder("graph ").append(graph.name()).append('\n');
    for (Graph.Named input : graph.inputs()) {
      text.append("  input  %s = %s\n".formatted(input.name(), input.value()));
    }
    for (Node node : graph.nodes()) {
      Cost cost = Cost.of(node);
      text.append("  ").append(line(node));
      text.append("  %d FLOPs, %d bytes\n".formatted(cost.flops(), cost.bytes()));
    }
    for (Graph.Named output : graph.outputs()) {
      text.append("  output %s = %%%d".formatted(output.name(), output.value().id()));
      String input = graph.aliases().get(output.name());
      text.append(input == null ? "" : " into " + input).append('\n');
    }
    return text.toString();
  }

  /// Returns one node as text: results, op, operands and attributes.
  public static String line(Node node) {
    String results = node.outputs().stream().map(Value::toString).collect(Collectors.joining(", "));
    return results + " = " + node.op().label() + ids(node.inputs()) + attributes(node.op());
  }

  /// Returns the graph in Graphviz's language: a box per node, an edge per use of a value.
  public static String dot(Graph graph) {
    StringBuilder text = new StringBuilder("digraph \"").append(quoted(graph.name()));
    text.append("\" {\n  node [shape=box, fontname=\"monospace\"];\n");
    String[] producers = new String[graph.valueCount()];
    for (Graph.Named input : graph.inputs()) {
      String id = "i" + input.value().id();
      producers[input.value().id()] = id;
      String label = input.name() + "\n" + input.value().type();
      text.append("  %s [label=\"%s\", shape=ellipse];\n".formatted(id, quoted(label)));
    }
    for (int i = 0; i < graph.nodes().size(); i++) {
      Node node = graph.nodes().get(i);
      String id = "n" + i;
      node.outputs().forEach(result -> producers[result.id()] = id);
      text.append("  %s [label=\"%s\"];\n".formatted(id, quoted(node.op().label())));
      node.inputs().forEach(value -> edge(text, producers, value, id));
    }
    for (int i = 0; i < graph.outputs().size(); i++) {
      Graph.Named output = graph.outputs().get(i);
      String id = "o" + i;
      text.append("  %s [label=\"%s\", shape=ellipse];\n".formatted(id, quoted(output.name())));
      edge(text, producers, output.value(), id);
    }
    return text.append("}\n").toString();
  }

  private static void edge(StringBuilder text, String[] producers, Value value, String to) {
    String from = producers[value.id()];
    text.append("  %s -> %s [label=\"%s\"];\n".formatted(from, to, value.type()));
  }

  private static String quoted(String label) {
    return label.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n");
  }

  private static String ids(List<Value> values) {
    StringJoiner ids = new StringJoiner(", ", "(", ")");
    values.forEach(value -> ids.add("%" + value.id()));
    return ids.toString();
  }

  /// The components of the op's record: `MatMul[a=…]` becomes ` {a=…}`, nothing if there are none.
  private static String attributes(Op op) {
    String text = op.toString();
    String inside = text.substring(text.indexOf('[') + 1, text.length() - 1);
    return inside.isEmpty() ? "" : " {" + inside + "}";
  }
}
