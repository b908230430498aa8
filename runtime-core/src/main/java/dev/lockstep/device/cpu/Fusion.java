package dev.lockstep.device.cpu;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// Decides which nodes become one [Unit].
///
/// An element-wise node joins what makes one of its operands, a product of matrices or other
/// element-wise nodes, so that what lies between need not go through memory; it is written only if
/// something else reads it. Joining happens where the maker stands, if all other operands are there
/// by then, or else where the node stands, if nothing in between reads what the maker makes. What
/// fills or widens is done again by each unit that reads it, and not at all if no other does.
///
/// Values are known by what reshapes of them show: one **root**.
final class Fusion {
  /// What may become one unit.
  enum Reach {
    /// Every node stands alone: what the others are compared with.
    NONE,

    /// An addition joins the product before it, element-wise nodes each other.
    ELEMENTS,

    /// Element-wise nodes follow products too. Slower so far (decision 0041): a tile is too little
    /// for a call of each kernel.
    PRODUCTS
  }

  /// Nodes of a unit at most: each brings cells that must stay in the first-level cache.
  private static final int LONGEST = 8;

  private final Reach reach;
  private final Node[] makers;
  private final int[] roots;
  private final int[] uses;
  private final Set<Integer> outputs = new HashSet<>();
  private final List<Draft> drafts = new ArrayList<>();
  private final Draft[] homes;

  private Fusion(Graph graph, Reach reach) {
    this.reach = reach;
    makers = new Node[graph.valueCount()];
    roots = new int[graph.valueCount()];
    uses = new int[graph.valueCount()];
    homes = new Draft[graph.valueCount()];
    for (int i = 0; i < roots.length; i++) {
      roots[i] = i;
    }
    for (Node node : graph.nodes()) {
      node.outputs().forEach(value -> makers[value.id()] = node);
      if (node.op() instanceof Primitive.Reshape) {
        roots[node.outputs().getFirst().id()] = root(node.inputs().getFirst());
      } else {
        node.inputs().forEach(value -> uses[root(value)]++);
      }
    }
    graph.outputs().forEach(output -> outputs.add(root(output.value())));
  }

  /// A unit while it grows.
  private static final class Draft {
    final Node node;
    final List<Node> after = new ArrayList<>();
    final Set<Node> sources = new LinkedHashSet<>();
    final Set<Integer> made = new HashSet<>();
    @Nullable Node addition;
    @Nullable Value residual;

    Draft(Node node) {
      this.node = node;
    }

    /// The nodes of the chain: what follows a product, or all.
    List<Node> chain() {
      List<Node> chain = new ArrayList<>(after);
      if (Links.isLink(node)) {
        chain.addFirst(node);
      }
      return chain;
    }

    /// All nodes but those that are done again.
    List<Node> nodes() {
      List<Node> nodes = new ArrayList<>(List.of(node));
      if (addition != null) {
        nodes.add(addition);
      }
      nodes.addAll(after);
      return nodes;
    }
  }

  /// Cuts a graph into units in the order in which they run. Reshapes are views and need none.
  static List<Unit> units(Graph graph, Reach reach) {
    if (reach == Reach.NONE) {
      return separate(graph);
    }
    Fusion fusion = new Fusion(graph, reach);
    for (Node node : graph.nodes()) {
      if (!(node.op() instanceof Primitive.Reshape)) {
        fusion.place(node);
      }
    }
    Set<Integer> read = fusion.removeUnread();
    List<Unit> units = new ArrayList<>();
    for (Draft draft : fusion.drafts) {
      units.add(fusion.unit(draft, read));
    }
    return units;
  }

  private static List<Unit> separate(Graph graph) {
    List<Unit> units = new ArrayList<>();
    for (Node node : graph.nodes()) {
      if (!(node.op() instanceof Primitive.Reshape)) {
        units.add(Unit.of(node));
      }
    }
    return units;
  }

  private int root(Value value) {
    return roots[value.id()];
  }

  private void place(Node node) {
    if (Links.isLink(node) && !Links.isSource(node)) {
      for (int i = drafts.size() - 1; i >= 0; i--) {
        Draft draft = drafts.get(i);
        if (makesOperand(draft, node) && join(draft, i, node)) {
          return;
        }
      }
    }
    Draft own = new Draft(node);
    if (Links.isLink(node)) {
      own.sources.addAll(sources(node));
    }
    drafts.add(own);
    settle(own, node);
  }

  private boolean makesOperand(Draft draft, Node node) {
    for (Value value : read(node)) {
      if (homes[root(value)] == draft) {
        return true;
      }
    }
    return false;
  }

  /// What a node reads, or what that is filled or widened from.
  private List<Value> read(Node node) {
    List<Value> read = new ArrayList<>();
    for (Value value : node.inputs()) {
      Node maker = makers[root(value)];
      if (maker != null && Links.isSource(maker)) {
        read.addAll(maker.inputs());
      } else {
        read.add(value);
      }
    }
    return read;
  }

  /// The fillings and widenings that a node reads.
  private List<Node> sources(Node node) {
    List<Node> sources = new ArrayList<>();
    for (Value value : node.inputs()) {
      Node maker = makers[root(value)];
      if (maker != null && Links.isSource(maker)) {
        sources.add(maker);
      }
    }
    return sources;
  }

  private boolean join(Draft draft, int position, Node node) {
    boolean open = isProduct(draft.node) || Links.isLink(draft.node);
    if (!open
        || draft.after.size() + draft.sources.size() >= LONGEST
        || !sameSize(draft, node)
        || repeatsWhatIsMade(draft, node)) {
      return false;
    }
    Value other = added(draft, node);
    if (isProduct(draft.node) && other == null && reach != Reach.PRODUCTS) {
      return false;
    }
    boolean early = arrives(draft, position, node);
    if (!early && isReadAfter(draft, position)) {
      return false;
    }
    if (!early) {
      drafts.remove(position);
      drafts.add(draft);
    }
    if (other != null) {
      draft.residual = other;
      draft.addition = node;
    } else {
      draft.after.add(node);
      draft.sources.addAll(sources(node));
    }
    settle(draft, node);
    return true;
  }

  /// Whether a node reads a repetition of what `draft` makes, which can only be of one element: a
  /// chain takes the numbers that it repeats from memory before its first link.
  private boolean repeatsWhatIsMade(Draft draft, Node node) {
    for (Node source : sources(node)) {
      if (source.op() instanceof Primitive.BroadcastTo
          && draft.made.contains(root(source.inputs().getFirst()))) {
        return true;
      }
    }
    return false;
  }

  private static boolean sameSize(Draft draft, Node node) {
    Value made = draft.node.outputs().getFirst();
    return made.type().shape().elements() == node.outputs().getFirst().type().shape().elements();
  }

  /// What an addition adds to a product that nothing else reads: it is added on the way.
  private @Nullable Value added(Draft draft, Node node) {
    if (!isProduct(draft.node)
        || draft.residual != null
        || !draft.after.isEmpty()
        || !(node.op() instanceof Primitive.Add)) {
      return null;
    }
    int product = root(draft.node.outputs().getFirst());
    if (uses[product] > 1 || outputs.contains(product)) {
      return null;
    }
    boolean first = root(node.inputs().get(0)) == product;
    Value other = node.inputs().get(first ? 1 : 0);
    Node maker = makers[root(other)];
    return maker != null && Links.isSource(maker) ? null : other;
  }

  /// Whether all that `node` reads beside what `draft` makes is there when `draft` runs.
  private boolean arrives(Draft draft, int position, Node node) {
    for (Value value : read(node)) {
      Draft home = homes[root(value)];
      if (home != null && home != draft && drafts.indexOf(home) > position) {
        return false;
      }
    }
    return true;
  }

  private boolean isReadAfter(Draft draft, int position) {
    for (int i = position + 1; i < drafts.size(); i++) {
      for (Value value : reads(drafts.get(i))) {
        if (homes[root(value)] == draft) {
          return true;
        }
      }
    }
    return false;
  }

  private void settle(Draft draft, Node node) {
    for (Value value : node.outputs()) {
      homes[root(value)] = draft;
      draft.made.add(root(value));
    }
  }

  /// What a draft reads that it does not make.
  private List<Value> reads(Draft draft) {
    List<Value> reads = new ArrayList<>();
    if (!Links.isLink(draft.node)) {
      reads.addAll(operands(draft.node));
    }
    if (draft.residual != null) {
      reads.add(rooted(draft.residual));
    }
    for (Node node : draft.chain()) {
      for (Value value : draft.sources.isEmpty() ? node.inputs() : read(node)) {
        if (!draft.made.contains(root(value))) {
          reads.add(rooted(value));
        }
      }
    }
    return reads;
  }

  /// What the first node reads: of a product, the bfloat16 that its matrices were widened from.
  private List<Value> operands(Node node) {
    List<Value> operands = new ArrayList<>(node.inputs());
    for (int i = 0; isProduct(node) && i < 2; i++) {
      Node maker = makers[root(operands.get(i))];
      if (maker != null && isWidening(maker)) {
        operands.set(i, maker.inputs().getFirst());
      }
    }
    return operands;
  }

  private static boolean isWidening(Node node) {
    return node.op() instanceof Primitive.Convert(DType to)
        && to == DType.F32
        && node.inputs().getFirst().type().dtype() == DType.BF16;
  }

  private static boolean isProduct(Node node) {
    return node.op() instanceof Primitive.MatMul || node.op() instanceof Composite.Linear;
  }

  /// Removes fillings and widenings that every reader does itself; returns the roots of what the
  /// rest reads of each other, and of the outputs.
  private Set<Integer> removeUnread() {
    Set<Integer> read = new HashSet<>(outputs);
    drafts.forEach(draft -> reads(draft).forEach(value -> read.add(root(value))));
    drafts.removeIf(
        draft ->
            Links.isSource(draft.node) && !read.contains(root(draft.node.outputs().getFirst())));
    return read;
  }

  private Unit unit(Draft draft, Set<Integer> read) {
    List<Node> nodes = draft.nodes();
    // A product that is added to on the way is nowhere itself.
    Value hidden = draft.addition == null ? null : draft.node.outputs().getFirst();
    List<Value> writes = new ArrayList<>();
    for (Node node : nodes) {
      for (Value value : node.outputs()) {
        if (read.contains(root(value)) && !value.equals(hidden)) {
          writes.add(value);
        }
      }
    }
    boolean alone = nodes.size() == 1 && draft.sources.isEmpty();
    if (alone || writes.isEmpty()) {
      writes = nodes.getLast().outputs();
    }
    return new Unit(
        draft.node,
        Links.isLink(draft.node) ? draft.node.inputs() : operands(draft.node),
        draft.residual == null ? null : rooted(draft.residual),
        alone ? List.of() : ordered(draft),
        nodes,
        alone && Links.isLink(draft.node) ? draft.node.inputs() : reads(draft),
        writes);
  }

  /// The chain with what it fills and widens before the first use, values replaced by their roots.
  private List<Node> ordered(Draft draft) {
    List<Node> ordered = new ArrayList<>();
    Set<Node> filled = new HashSet<>();
    for (Node node : draft.chain()) {
      for (Node source : sources(node)) {
        if (draft.sources.contains(source) && filled.add(source)) {
          ordered.add(rooted(source));
        }
      }
      ordered.add(rooted(node));
    }
    return ordered;
  }

  private Node rooted(Node node) {
    return new Node(node.op(), node.inputs().stream().map(this::rooted).toList(), node.outputs());
  }

  private Value rooted(Value value) {
    return new Value(root(value), value.type());
  }
}
