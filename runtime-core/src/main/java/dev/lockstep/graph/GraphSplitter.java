package dev.lockstep.graph;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntPredicate;

/// Cuts a graph at its collectives into segments that a device runs and collectives that the host
/// runs, in program order.
///
/// What lives outside a segment has a name, its **slot**: a graph's input has its own name, a value
/// that is an output of the graph takes the (first) output's name, any other value that crosses is
/// called `%ID`. Inputs and outputs of the segments carry these names, so that one map of tensors
/// by name binds all of them.
public final class GraphSplitter {
  private final Graph graph;
  private final IntPredicate startsPart;
  private final Map<Integer, String> slots = new HashMap<>();
  private final Map<Integer, Set<String>> outputNames = new HashMap<>();
  private final List<Part> parts = new ArrayList<>();

  private final int[] made;
  private final int[] lastRead;

  private GraphSplitter(Graph graph, IntPredicate startsPart) {
    this.graph = graph;
    this.startsPart = startsPart;
    this.made = new int[graph.valueCount()];
    this.lastRead = new int[graph.valueCount()];
  }

  /// A graph cut at its collectives.
  ///
  /// @param graph the whole
  /// @param parts what runs, in an order that respects data flow; a part that needs no result of a
  ///   collective before it may start while that is in flight
  /// @param crossings values that cross between parts and are neither inputs nor outputs of the
  ///   whole, by slot: whoever runs the parts gives them memory
  public record Segments(Graph graph, List<Part> parts, List<Graph.Named> crossings) {
    /// Copies the lists.
    public Segments {
      parts = List.copyOf(parts);
      crossings = List.copyOf(crossings);
    }

    /// Returns the number of the part that makes an output or a crossing value.
    ///
    /// @throws IllegalArgumentException if no part makes it
    public int partThatMakes(String slot) {
      for (int part = 0; part < parts.size(); part++) {
        boolean isMade =
            switch (parts.get(part)) {
              case Compute(Graph segment) ->
                  segment.outputs().stream().anyMatch(output -> output.name().equals(slot));
              case Collective collective -> collective.output().equals(slot);
            };
        if (isMade) {
          return part;
        }
      }
      throw new IllegalArgumentException("no part makes this value: value=" + slot);
    }
  }

  /// One step of a cut graph.
  public sealed interface Part {}

  /// A sub-graph without collectives.
  ///
  /// @param graph inputs and outputs are called by their slots; aliases among them are kept
  public record Compute(Graph graph) implements Part {}

  /// A collective, run by the host.
  ///
  /// @param op the collective
  /// @param inputs slots of the operands
  /// @param output slot of the result
  public record Collective(Primitive op, List<String> inputs, String output) implements Part {
    /// Copies the list.
    public Collective {
      inputs = List.copyOf(inputs);
    }
  }

  /// Returns the graph cut at every collective. A graph without one is a single segment.
  ///
  /// @throws IllegalArgumentException if an output that takes an input's memory is made before the
  ///   last part that reads that input, or if one collective result has two output names
  public static Segments split(Graph graph) {
    return split(graph, _ -> false);
  }

  /// Returns the graph cut at every collective and before some nodes.
  ///
  /// @param startsPart whether a new segment starts at the node with this index
  /// @throws IllegalArgumentException as [#split(Graph)]
  public static Segments split(Graph graph, IntPredicate startsPart) {
    return new GraphSplitter(graph, startsPart).split();
  }

  private Segments split() {
    graph.inputs().forEach(input -> slots.put(input.value().id(), input.name()));
    for (Graph.Named output : graph.outputs()) {
      int id = output.value().id();
      slots.putIfAbsent(id, output.name());
      outputNames.computeIfAbsent(id, _ -> new LinkedHashSet<>()).add(output.name());
    }
    numberRuns();
    checkAliases();
    List<Graph.Named> crossings = crossings();
    List<Node> run = new ArrayList<>();
    for (int i = 0; i < graph.nodes().size(); i++) {
      Node node = graph.nodes().get(i);
      if (startsPart.test(i)) {
        addCompute(run);
      }
      if (isCollective(node)) {
        addCompute(run);
        parts.add(collective(node));
      } else {
        run.add(node);
      }
    }
    addCompute(run);
    return new Segments(graph, parts, crossings);
  }

  private static boolean isCollective(Node node) {
    return switch (node.op()) {
      case Primitive primitive -> primitive.isCollective();
      case Composite _ -> false;
    };
  }

  /// Numbers the runs of nodes between collectives and other cuts with even numbers, the
  /// collectives with odd ones, and notes for each value which of them makes it and which reads it
  /// last.
  private void numberRuns() {
    int run = 0;
    for (int i = 0; i < graph.nodes().size(); i++) {
      Node node = graph.nodes().get(i);
      run += startsPart.test(i) ? 2 : 0;
      int at = isCollective(node) ? run + 1 : run;
      for (Value value : node.inputs()) {
        lastRead[value.id()] = Math.max(lastRead[value.id()], at);
      }
      for (Value value : node.outputs()) {
        made[value.id()] = at;
        lastRead[value.id()] = at;
      }
      run = isCollective(node) ? run + 2 : run;
    }
  }

  private List<Graph.Named> crossings() {
    List<Graph.Named> crossings = new ArrayList<>();
    for (Node node : graph.nodes()) {
      for (Value value : node.outputs()) {
        boolean leaves = isCollective(node) || lastRead[value.id()] > made[value.id()];
        if (leaves && !slots.containsKey(value.id())) {
          slots.put(value.id(), "%" + value.id());
          crossings.add(new Graph.Named("%" + value.id(), value));
        }
      }
    }
    return crossings;
  }

  private void checkAliases() {
    graph
        .aliases()
        .forEach(
            (output, input) -> {
              if (lastRead[graph.input(input).id()] > made[graph.output(output).id()]) {
                throw new IllegalArgumentException(
                    "input is read after the output that takes its memory: graph="
                        + graph.name()
                        + ", input="
                        + input
                        + ", output="
                        + output
                        + " (move the reader before the collective)");
              }
            });
  }

  private Collective collective(Node node) {
    Value result = node.outputs().getFirst();
    Set<String> names = outputNames.getOrDefault(result.id(), Set.of());
    if (names.size() > 1) {
      throw new IllegalArgumentException(
          "result of a collective has several output names: graph="
              + graph.name()
              + ", outputs="
              + names);
    }
    List<String> inputs = node.inputs().stream().map(this::slot).toList();
    return new Collective((Primitive) node.op(), inputs, slot(result));
  }

  private String slot(Value value) {
    String slot = slots.get(value.id());
    if (slot == null) {
      throw new IllegalStateException("value has no slot: graph=" + graph.name() + ", " + value);
    }
    return slot;
  }

  /// Makes a segment of the nodes in `run` and empties it.
  private void addCompute(List<Node> run) {
    boolean isFirst = parts.isEmpty();
    Segment segment = new Segment(graph.name() + "#" + parts.size());
    run.forEach(segment::add);
    run.forEach(node -> node.outputs().forEach(segment::export));
    if (isFirst) {
      graph.inputs().forEach(input -> segment.exportInput(input.value()));
    }
    run.clear();
    if (!segment.isEmpty()) {
      parts.add(new Compute(segment.builder.build()));
    }
  }

  /// A sub-graph in the making.
  private final class Segment {
    private final GraphBuilder builder;
    private final Map<Integer, Value> mapped = new HashMap<>();
    private boolean empty = true;

    Segment(String name) {
      builder = new GraphBuilder(name);
    }

    boolean isEmpty() {
      return empty;
    }

    void add(Node node) {
      empty = false;
      List<Value> operands = node.inputs().stream().map(this::operand).toList();
      List<Value> results = builder.apply(node.op(), operands);
      for (int i = 0; i < results.size(); i++) {
        mapped.put(node.outputs().get(i).id(), results.get(i));
      }
    }

    private Value operand(Value value) {
      return mapped.computeIfAbsent(value.id(), _ -> builder.input(slot(value), value.type()));
    }

    /// Names a value of this segment that lives on outside.
    void export(Value value) {
      String slot = slots.get(value.id());
      if (slot == null) {
        return;
      }
      Set<String> names = outputNames.getOrDefault(value.id(), Set.of(slot));
      names.forEach(name -> export(name, value));
    }

    /// Copies an input of the graph that is also an output of it.
    void exportInput(Value value) {
      for (String name : outputNames.getOrDefault(value.id(), Set.of())) {
        empty = false;
        operand(value);
        export(name, value);
      }
    }

    private void export(String name, Value value) {
      Value inner = mapped.get(value.id());
      if (inner == null) {
        throw new IllegalStateException("value was not made here: " + value);
      }
      String input = graph.aliases().get(name);
      if (input == null) {
        builder.output(name, inner);
        return;
      }
      var _ = operand(graph.input(input));
      builder.outputInto(name, inner, input);
    }
  }
}
