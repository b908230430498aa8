package dev.lockstep.device.cuda;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Decides which element-wise nodes one kernel computes, so that what lies between them never goes
/// through memory: these kernels move at the memory's bandwidth, and only fewer bytes help.
///
/// A node joins the one that makes an operand of it, if they are near each other and all else that
/// it reads is there by then; or where the node stands, if nothing in between reads what was made.
/// What fills, widens or repeats (a **source**) is done again by each unit that reads it, and not
/// at all if no other does. What others read is written as a further result.
///
/// Values are known by what reshapes of them show: one **root**.
final class ElementFusion {
  /// Nodes of a unit at most, and what it reads: a thread holds four of each in registers.
  private static final int MOST_NODES = 24;

  private static final int MOST_READS = 12;

  /// Units between two that become one, at most: what is made early takes memory until it is read.
  private static final int REACH = 16;

  private final Map<Integer, Node> sources = new HashMap<>();
  private final Map<Integer, Draft> homes = new HashMap<>();
  private final List<Draft> drafts = new ArrayList<>();
  private final Set<Integer> outputs = new HashSet<>();
  private final int[] roots;

  private ElementFusion(Graph graph) {
    roots = new int[graph.valueCount()];
    for (int i = 0; i < roots.length; i++) {
      roots[i] = i;
    }
    for (Node node : graph.nodes()) {
      if (node.op() instanceof Primitive.Reshape) {
        roots[node.outputs().getFirst().id()] = root(node.inputs().getFirst());
      }
    }
    graph.outputs().forEach(output -> outputs.add(root(output.value())));
  }

  /// A unit while it grows: one node of any kind, or links.
  private static final class Draft {
    final CudaUnit first;
    final List<Node> nodes = new ArrayList<>();
    final Set<Integer> made = new HashSet<>();
    final boolean isSource;
    final boolean isChain;

    Draft(CudaUnit unit) {
      first = unit;
      isSource = ElementOps.isSource(unit.node());
      isChain = ElementOps.isLink(unit.node()) && !isSource;
    }

    long elements() {
      return elementsOf(first.node());
    }
  }

  private static long elementsOf(Node node) {
    return node.outputs().getFirst().type().shape().elements();
  }

  /// Returns what a program does in one go, in order.
  ///
  /// @param units those of the graph's nodes, in order
  static List<ProgramUnit> fuse(Graph graph, List<CudaUnit> units) {
    ElementFusion fusion = new ElementFusion(graph);
    for (CudaUnit unit : units) {
      if (ElementOps.isSource(unit.node())) {
        fusion.sources.put(unit.writes().getFirst().id(), unit.node());
      }
    }
    units.forEach(fusion::place);
    fusion.joinWidenings();
    fusion.removeUnread();
    return fusion.finish();
  }

  private int root(Value value) {
    return roots[value.id()];
  }

  private void place(CudaUnit unit) {
    Draft own = new Draft(unit);
    if (own.isChain) {
      for (int i = drafts.size() - 1; i >= Math.max(0, drafts.size() - REACH); i--) {
        if (join(drafts.get(i), i, unit.node())) {
          return;
        }
      }
    }
    drafts.add(own);
    settle(own, unit.node(), unit.writes());
  }

  private void settle(Draft draft, Node node, List<Value> writes) {
    draft.nodes.add(node);
    for (Value value : writes) {
      homes.put(root(value), draft);
      draft.made.add(root(value));
    }
  }

  /// What a node reads, with what sources read in their place.
  private List<Value> leaves(Node node) {
    List<Value> leaves = new ArrayList<>();
    for (Value value : node.inputs()) {
      Node source = sources.get(root(value));
      if (source == null) {
        leaves.add(value);
      } else {
        leaves.addAll(leaves(source));
      }
    }
    return leaves;
  }

  /// What a draft reads, by root, in the order of first use.
  private Map<Integer, Value> reads(Draft draft) {
    Map<Integer, Value> reads = new LinkedHashMap<>();
    if (draft.isChain) {
      for (Node node : draft.nodes) {
        leaves(node).forEach(value -> reads.putIfAbsent(root(value), rooted(value)));
      }
      reads.keySet().removeAll(draft.made);
    } else {
      draft.first.reads().forEach(value -> reads.putIfAbsent(root(value), rooted(value)));
    }
    return reads;
  }

  private boolean join(Draft draft, int position, Node node) {
    List<Value> leaves = leaves(node);
    boolean makesOperand = leaves.stream().anyMatch(value -> draft.made.contains(root(value)));
    if (!draft.isChain
        || !makesOperand
        || draft.elements() != elementsOf(node)
        || !hasRoom(draft, leaves)) {
      return false;
    }
    boolean early = leaves.stream().noneMatch(value -> isMadeAfter(value, draft, position));
    if (!early) {
      if (isReadAfter(draft, position)) {
        return false;
      }
      drafts.remove(position);
      drafts.add(draft);
    }
    settle(draft, node, node.outputs());
    return true;
  }

  private boolean hasRoom(Draft draft, List<Value> leaves) {
    Set<Integer> reads = new HashSet<>(reads(draft).keySet());
    leaves.forEach(value -> reads.add(root(value)));
    reads.removeAll(draft.made);
    return draft.nodes.size() < MOST_NODES && reads.size() <= MOST_READS;
  }

  private boolean isMadeAfter(Value value, Draft draft, int position) {
    Draft home = homes.get(root(value));
    return home != null && home != draft && after(position).contains(home);
  }

  /// The drafts behind one that is near the last.
  private List<Draft> after(int position) {
    return drafts.subList(position + 1, drafts.size());
  }

  private boolean isReadAfter(Draft draft, int position) {
    for (Draft later : after(position)) {
      if (reads(later).keySet().stream().anyMatch(draft.made::contains)) {
        return true;
      }
    }
    return false;
  }

  /// What is widened for others joins the chain that makes it, if that is near.
  private void joinWidenings() {
    Set<Integer> read = read();
    Map<Draft, Integer> places = new HashMap<>();
    List<Draft> kept = new ArrayList<>();
    for (Draft draft : drafts) {
      Node node = draft.first.node();
      if (draft.isSource
          && node.op() instanceof Primitive.Convert
          && read.contains(root(node.outputs().getFirst()))) {
        Draft home = homes.get(root(node.inputs().getFirst()));
        if (home != null
            && home.isChain
            && kept.size() - places.getOrDefault(home, kept.size()) < REACH
            && hasRoom(home, List.of())) {
          settle(home, node, node.outputs());
          continue;
        }
      }
      places.put(draft, kept.size());
      kept.add(draft);
    }
    drafts.clear();
    drafts.addAll(kept);
  }

  /// The roots of what drafts read that are no sources, and of the outputs.
  private Set<Integer> read() {
    Set<Integer> read = new HashSet<>(outputs);
    for (Draft draft : drafts) {
      if (!draft.isSource) {
        read.addAll(reads(draft).keySet());
      }
    }
    return read;
  }

  /// Removes sources that every reader does itself.
  private void removeUnread() {
    Set<Integer> read = read();
    for (int i = drafts.size() - 1; i >= 0; i--) {
      Draft draft = drafts.get(i);
      if (draft.isSource) {
        if (read.contains(root(draft.first.writes().getFirst()))) {
          read.addAll(reads(draft).keySet());
        } else {
          drafts.remove(i);
        }
      }
    }
  }

  private List<ProgramUnit> finish() {
    Set<Integer> read = new HashSet<>(outputs);
    drafts.forEach(draft -> read.addAll(reads(draft).keySet()));
    List<ProgramUnit> units = new ArrayList<>();
    for (Draft draft : drafts) {
      List<Node> nodes = draft.isChain ? nodes(draft) : draft.nodes;
      if (nodes.size() == 1) {
        units.add(draft.first);
        continue;
      }
      List<Value> writes = new ArrayList<>();
      for (Node node : draft.nodes) {
        node.outputs().stream().filter(value -> read.contains(root(value))).forEach(writes::add);
      }
      if (writes.isEmpty()) {
        writes.addAll(draft.nodes.getLast().outputs());
      }
      List<Value> reads = List.copyOf(reads(draft).values());
      units.add(new FusedUnit(draft.elements(), nodes, reads, writes));
    }
    return units;
  }

  /// The links of a draft with the sources of each before it, values replaced by their roots.
  private List<Node> nodes(Draft draft) {
    Map<Integer, Node> nodes = new LinkedHashMap<>();
    draft.nodes.forEach(node -> addWithSources(node, nodes));
    return List.copyOf(nodes.values());
  }

  private void addWithSources(Node node, Map<Integer, Node> nodes) {
    for (Value value : node.inputs()) {
      Node source = sources.get(root(value));
      if (source != null) {
        addWithSources(source, nodes);
      }
    }
    List<Value> inputs = node.inputs().stream().map(this::rooted).toList();
    nodes.putIfAbsent(node.outputs().getFirst().id(), new Node(node.op(), inputs, node.outputs()));
  }

  private Value rooted(Value value) {
    return new Value(root(value), value.type());
  }
}
