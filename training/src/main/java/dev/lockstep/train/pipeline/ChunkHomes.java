package dev.lockstep.train.pipeline;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.train.nn.ParameterUse;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Which chunk of a cut program each value belongs to.
///
/// On the way forth the order of the program decides: what stands behind a border belongs to the
/// next chunk. On the way back the data decide: an op belongs to the chunk of the gradient that it
/// reads, where the gradient of a border is the earlier chunk's. What depends on data and constants
/// alone belongs to every chunk, and is made by each that reads it.
final class ChunkHomes {
  /// Belongs to every chunk.
  static final int ANYWHERE = -1;

  private final Graph graph;
  private final int chunks;
  private final int lastForward;
  private final int[] home;
  private final Node[] makers;
  private final int[] makerIndex;
  private final Map<Integer, Integer> readAsIn = new HashMap<>();
  private final Map<Integer, String> parameters = new HashMap<>();
  private final List<Integer> borderIndex = new ArrayList<>();

  /// Finds the chunks.
  ///
  /// @param borders outputs behind which the program is cut
  /// @param everywhere inputs that every chunk has
  /// @param end the output that the way forth ends with
  ChunkHomes(Graph graph, List<String> borders, Set<String> everywhere, String end) {
    this.graph = graph;
    this.chunks = borders.size() + 1;
    this.home = new int[graph.valueCount()];
    this.makers = new Node[graph.valueCount()];
    this.makerIndex = new int[graph.valueCount()];
    for (int i = 0; i < graph.nodes().size(); i++) {
      for (Value value : graph.nodes().get(i).outputs()) {
        makers[value.id()] = graph.nodes().get(i);
        makerIndex[value.id()] = i;
      }
    }
    lastForward = makerIndex[graph.output(end).id()];
    for (int i = 0; i < borders.size(); i++) {
      Value border = graph.output(borders.get(i));
      readAsIn.put(border.id(), i + 1);
      borderIndex.add(makerIndex[border.id()]);
      String gradient = ParameterUse.gradientName(borders.get(i));
      for (Graph.Named output : graph.outputs()) {
        if (output.name().equals(gradient)) {
          readAsIn.put(output.value().id(), i);
        }
      }
    }
    for (Graph.Named input : graph.inputs()) {
      home[input.value().id()] = ANYWHERE;
      if (!everywhere.contains(input.name())) {
        parameters.put(input.value().id(), input.name());
      }
    }
    for (int i = 0; i < graph.nodes().size(); i++) {
      settle(graph.nodes().get(i), i);
    }
  }

  private void settle(Node node, int index) {
    int chunk = isAnywhere(node) ? ANYWHERE : index <= lastForward ? forth(index) : back(node);
    node.outputs().forEach(value -> home[value.id()] = chunk);
    for (Value value : node.inputs()) {
      String parameter = parameters.get(value.id());
      if (parameter != null) {
        int before = home[value.id()];
        if (before != ANYWHERE && before != chunk) {
          throw refusal("a weight is read by two chunks", node, before, chunk);
        }
        home[value.id()] = chunk;
      }
    }
  }

  private boolean isAnywhere(Node node) {
    boolean talks = node.op() instanceof Primitive primitive && primitive.isCollective();
    return !talks && node.inputs().stream().allMatch(this::isAnywhere);
  }

  private int forth(int index) {
    int chunk = 0;
    while (chunk < borderIndex.size() && index > borderIndex.get(chunk)) {
      chunk++;
    }
    return chunk;
  }

  private int back(Node node) {
    int chunk = chunks - 1;
    for (Value value : node.inputs()) {
      if (!isAnywhere(value)) {
        chunk = Math.min(chunk, readAsIn.getOrDefault(value.id(), home[value.id()]));
      }
    }
    return chunk;
  }

  /// Whether every chunk has or makes a value.
  boolean isAnywhere(Value value) {
    return home[value.id()] == ANYWHERE && !parameters.containsKey(value.id());
  }

  /// Returns the chunk that makes a value, or whose weight it is.
  int home(Value value) {
    return home[value.id()];
  }

  /// Returns the chunk of a node; [#ANYWHERE] for one that each reader makes.
  int home(Node node) {
    return home[node.outputs().getFirst().id()];
  }

  /// Returns the node that makes a value.
  ///
  /// @throws IllegalArgumentException if it is an input
  Node maker(Value value) {
    Node maker = makers[value.id()];
    if (maker == null) {
      throw new IllegalArgumentException("no node makes this value: " + value);
    }
    return maker;
  }

  boolean isInput(Value value) {
    return makers[value.id()] == null;
  }

  /// Whether a value is made on the way forth.
  boolean isForth(Value value) {
    return makerIndex[value.id()] <= lastForward;
  }

  boolean isParameter(Value value) {
    return parameters.containsKey(value.id());
  }

  /// Returns the chunk whose sums hold an output.
  int holder(Graph.Named output) {
    for (Graph.Named input : graph.inputs()) {
      if (ParameterUse.gradientName(input.name()).equals(output.name())) {
        return home[input.value().id()];
      }
    }
    int made = home[output.value().id()];
    return made == ANYWHERE ? chunks - 1 : made;
  }

  /// Says why a program cannot be cut so.
  IllegalArgumentException refusal(String what, Node node, int from, int to) {
    return new IllegalArgumentException(
        "program cannot be cut into chunks: graph=%s, %s: op=%s, chunk=%d, chunk=%d"
            .formatted(graph.name(), what, node.op().label(), from, to));
  }
}
