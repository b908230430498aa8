package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.Support;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Slice;
import dev.lockstep.graph.Primitive.Uniform;
import java.util.List;

/// The graphs of primitives that some ranks run together, read side by side. They are one program
/// if they are alike but for numbers that follow from the rank: constants, where slices begin, and
/// which part of a tensor random numbers are drawn for.
///
/// @param graphs one that all ranks run, or one per rank
record RankVariants(List<Graph> graphs) {
  RankVariants {
    graphs = List.copyOf(graphs);
  }

  /// The graph that says all but those numbers.
  Graph first() {
    return graphs.getFirst();
  }

  /// The op that each rank has at a node; one if all have the same.
  List<Op> ops(int node) {
    List<Op> ops = graphs.stream().map(graph -> graph.nodes().get(node).op()).toList();
    return ops.stream().allMatch(ops.getFirst()::equals) ? ops.subList(0, 1) : ops;
  }

  /// Whether any number follows from the rank.
  boolean differ() {
    return graphs.stream().anyMatch(graph -> !graph.nodes().equals(first().nodes()));
  }

  /// Whether the graphs are one program.
  Support areOneProgram() {
    for (int rank = 1; rank < graphs.size(); rank++) {
      Graph other = graphs.get(rank);
      boolean isAlike =
          other.inputs().equals(first().inputs())
              && other.outputs().equals(first().outputs())
              && other.aliases().equals(first().aliases())
              && other.nodes().size() == first().nodes().size();
      if (!isAlike) {
        return new Support.No(
            "ranks have programs of other sizes: graph=%s, rank=0 nodes=%d, rank=%d nodes=%d"
                .formatted(first().name(), first().nodes().size(), rank, other.nodes().size()));
      }
      for (int i = 0; i < other.nodes().size(); i++) {
        Node mine = first().nodes().get(i);
        Node its = other.nodes().get(i);
        if (!isVariant(mine, its)) {
          return new Support.No(
              "ranks have programs of other ops: graph=%s, node=%d, rank=0 op=%s, rank=%d op=%s"
                  .formatted(first().name(), i, mine.op().label(), rank, its.op().label()));
        }
      }
    }
    return new Support.Yes();
  }

  private static boolean isVariant(Node a, Node b) {
    if (!a.inputs().equals(b.inputs()) || !a.outputs().equals(b.outputs())) {
      return false;
    }
    return a.op().equals(b.op())
        || switch (a.op()) {
          case Constant _ -> b.op() instanceof Constant; // the results' types are equal
          case Slice _ -> b.op() instanceof Slice;
          case Uniform(Primitive.Part part, long seed, int tensor) ->
              b.op() instanceof Uniform(Primitive.Part other, long otherSeed, int otherTensor)
                  && other.whole().equals(part.whole())
                  && other.shape().equals(part.shape())
                  && otherSeed == seed
                  && otherTensor == tensor;
          default -> false;
        };
  }
}
