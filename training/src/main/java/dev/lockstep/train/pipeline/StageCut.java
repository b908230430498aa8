package dev.lockstep.train.pipeline;

import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.ParameterUse;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;

/// Cuts a lane program that was written and differentiated for one device at borders between its
/// layers. Every op of the program is an op of one chunk, with the same operands, so that the bits
/// stay; what depends on data and constants alone is made again by each chunk that reads it.
///
/// What a chunk computes before it sends to the next is its way forth, all else its way back. What
/// is read farther than one chunk away goes from neighbour to neighbour.
public final class StageCut {
  private static final String RECEIVED = "received/";
  private static final String SENT = "sent/";
  private static final String KEPT = "kept/";
  private static final String GRADIENT_RECEIVED = "gradient received/";
  private static final String GRADIENT_SENT = "gradient sent/";

  private final Graph graph;
  private final ChunkHomes homes;
  private final Set<String> unwanted = new LinkedHashSet<>();
  private final boolean hasWayBack;
  private final List<List<Node>> nodes = new ArrayList<>();

  /// Values by id that go over the border behind a chunk, forth and back.
  private final List<TreeMap<Integer, Value>> forth = new ArrayList<>();

  private final List<TreeMap<Integer, Value>> back = new ArrayList<>();

  private StageCut(Graph graph, List<String> borders, Set<String> everywhere, String end) {
    this.graph = graph;
    this.homes = new ChunkHomes(graph, borders, everywhere, end);
    for (String border : borders(graph)) {
      unwanted.add(border);
      unwanted.add(ParameterUse.gradientName(border));
    }
    this.hasWayBack = graph.nodes().stream().anyMatch(node -> !homes.isForth(first(node)));
    for (int chunk = 0; chunk <= borders.size(); chunk++) {
      nodes.add(new ArrayList<>());
      forth.add(new TreeMap<>());
      back.add(new TreeMap<>());
    }
  }

  /// Cuts a program.
  ///
  /// @param graph with every border among its outputs, and its gradient
  /// @param borders the outputs behind which it is cut, in program order; there is one chunk more
  /// @param everywhere inputs that every chunk has: tokens and the like
  /// @param end the output that the way forth ends with: the loss
  /// @throws IllegalArgumentException if it cannot be cut there; the sentence names the op
  public static List<Chunk> cut(
      Graph graph, List<String> borders, Set<String> everywhere, String end) {
    return new StageCut(graph, borders, everywhere, end).cut();
  }

  /// Returns what each chunk of a program costs that is cut at all of its borders, in arithmetic
  /// operations.
  public static List<Long> costs(Graph graph, Set<String> everywhere, String end) {
    List<String> all = borders(graph);
    ChunkHomes homes = new ChunkHomes(graph, all, everywhere, end);
    long[] flops = new long[all.size() + 1];
    for (Node node : graph.nodes()) {
      int chunk = homes.home(node);
      if (chunk != ChunkHomes.ANYWHERE) {
        flops[chunk] += Cost.of(node).flops();
      }
    }
    return Arrays.stream(flops).boxed().toList();
  }

  private static List<String> borders(Graph graph) {
    return graph.outputs().stream()
        .map(Graph.Named::name)
        .filter(name -> name.startsWith(ModelTrace.BORDER))
        .sorted(Comparator.comparingInt(StageCut::number))
        .toList();
  }

  private static int number(String border) {
    return Integer.parseInt(border.substring(ModelTrace.BORDER.length()));
  }

  private static Value first(Node node) {
    return node.outputs().getFirst();
  }

  private List<Graph.Named> wanted(int chunk) {
    return graph.outputs().stream()
        .filter(output -> !unwanted.contains(output.name()) && homes.holder(output) == chunk)
        .toList();
  }

  private List<Chunk> cut() {
    for (Node node : graph.nodes()) {
      int chunk = homes.home(node);
      if (chunk != ChunkHomes.ANYWHERE) {
        nodes.get(chunk).add(node);
        node.inputs().forEach(value -> bring(value, chunk, node));
      }
    }
    for (int chunk = 0; chunk < nodes.size(); chunk++) {
      for (Graph.Named output : wanted(chunk)) {
        if (!homes.isAnywhere(output.value()) && !homes.isInput(output.value())) {
          bring(output.value(), chunk, homes.maker(output.value()));
        }
      }
    }
    List<Chunk> chunks = new ArrayList<>();
    for (int chunk = 0; chunk < nodes.size(); chunk++) {
      chunks.add(chunk(chunk));
    }
    return chunks;
  }

  /// Sends a value to a chunk that reads it.
  private void bring(Value value, int reader, Node node) {
    if (homes.isAnywhere(value)) {
      return;
    }
    int from = homes.home(value);
    boolean upwards = homes.isForth(value) && !homes.isParameter(value);
    if ((from < reader && !upwards) || (from > reader && homes.isForth(first(node)))) {
      throw homes.refusal("a value is read where it cannot be brought", node, from, reader);
    }
    for (int border = from; border < reader; border++) {
      forth.get(border).put(value.id(), value);
    }
    for (int border = reader; border < from; border++) {
      back.get(border).put(value.id(), value);
    }
  }

  private Chunk chunk(int chunk) {
    boolean isLast = chunk == nodes.size() - 1;
    Map<Integer, Value> received = chunk == 0 ? Map.of() : forth.get(chunk - 1);
    Map<Integer, Value> sent = forth.get(chunk);
    Map<Integer, Value> gradientReceived = back.get(chunk);
    Map<Integer, Value> gradientSent = chunk == 0 ? Map.of() : back.get(chunk - 1);
    boolean isCut = hasWayBack && !isLast;
    Set<Node> before = isCut ? ancestors(chunk, sent) : Set.copyOf(nodes.get(chunk));
    Map<Integer, Value> kept = new TreeMap<>();
    Part wayBack = new Part(graph.name() + " back " + chunk);
    wayBack.find =
        value -> {
          if (homes.isParameter(value)) {
            return name(value);
          }
          if (gradientReceived.containsKey(value.id())) {
            return GRADIENT_RECEIVED + slot(value);
          }
          if (received.containsKey(value.id())) {
            return RECEIVED + slot(value);
          }
          if (sent.containsKey(value.id())) {
            return SENT + slot(value);
          }
          kept.put(value.id(), value);
          return KEPT + slot(value);
        };
    Part wayForth = new Part(graph.name() + " forth " + chunk);
    wayForth.find = value -> homes.isParameter(value) ? name(value) : RECEIVED + slot(value);
    for (Node node : nodes.get(chunk)) {
      (before.contains(node) ? wayForth : wayBack).add(node);
    }
    Part ending = isCut ? wayBack : wayForth;
    gradientSent.values().forEach(value -> ending.output(GRADIENT_SENT + slot(value), value));
    wanted(chunk).forEach(output -> ending.output(output.name(), output.value()));
    sent.values().forEach(value -> wayForth.output(SENT + slot(value), value));
    kept.values().forEach(value -> wayForth.output(KEPT + slot(value), value));
    return new Chunk(
        wayForth.builder.build(),
        isCut ? Optional.of(wayBack.builder.build()) : Optional.empty(),
        layout(RECEIVED, received),
        layout(SENT, sent),
        layout(KEPT, kept),
        layout(GRADIENT_RECEIVED, gradientReceived),
        layout(GRADIENT_SENT, gradientSent));
  }

  /// What a chunk must compute before it can send.
  private Set<Node> ancestors(int chunk, Map<Integer, Value> sent) {
    Set<Integer> needed = new LinkedHashSet<>(sent.keySet());
    Set<Node> found = new LinkedHashSet<>();
    for (Node node : nodes.get(chunk).reversed()) {
      if (node.outputs().stream().anyMatch(value -> needed.contains(value.id()))) {
        found.add(node);
        for (Value value : node.inputs()) {
          if (back.get(chunk).containsKey(value.id())) {
            throw homes.refusal("the way forth reads a gradient", node, chunk, chunk);
          }
          needed.add(value.id());
        }
      }
    }
    return found;
  }

  private static String slot(Value value) {
    return "%" + value.id();
  }

  private String name(Value input) {
    return graph.inputs().stream()
        .filter(named -> named.value().equals(input))
        .findFirst()
        .orElseThrow()
        .name();
  }

  private static SlotLayout layout(String section, Map<Integer, Value> values) {
    Map<String, ValueType> types = new LinkedHashMap<>();
    values.values().forEach(value -> types.put(section + slot(value), value.type()));
    return SlotLayout.of(types);
  }

  /// A program of a chunk in the making.
  private final class Part {
    private final GraphBuilder builder;
    private final Map<Integer, Value> mapped = new HashMap<>();

    /// What a value that is made elsewhere is called.
    private Function<Value, String> find = _ -> "";

    Part(String name) {
      builder = new GraphBuilder(name);
    }

    void add(Node node) {
      List<Value> results =
          builder.apply(node.op(), node.inputs().stream().map(this::operand).toList());
      for (int i = 0; i < results.size(); i++) {
        mapped.put(node.outputs().get(i).id(), results.get(i));
      }
    }

    private Value operand(Value value) {
      Value known = mapped.get(value.id());
      if (known != null) {
        return known;
      }
      if (homes.isAnywhere(value) && !homes.isInput(value)) {
        add(homes.maker(value));
        return operand(value);
      }
      String name = homes.isInput(value) ? name(value) : find.apply(value);
      Value input = builder.input(name, value.type());
      mapped.put(value.id(), input);
      return input;
    }

    void output(String name, Value value) {
      builder.output(name, operand(value));
    }
  }
}
