package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.train.parallel.BucketPlan;
import dev.lockstep.train.parallel.ShardRounds;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.ToIntFunction;

/// A collective of a training step, as [StepPlan#exchanges] lists them.
///
/// @param axis the mesh axis
/// @param what the collective, and what it is about
/// @param bytes of the whole: the vector that is reduced, or all parts that are gathered
/// @param sentBytes that a rank sends each time, by an algorithm that sends the least
/// @param times how often a step runs it
/// @param behind which part of the step computes meanwhile; empty where the rank waits
public record PlannedExchange(
    String axis, String what, long bytes, long sentBytes, int times, String behind) {
  /// How the contributions to a sum over ranks are sent.
  enum Sums {
    /// Each by itself, as the tree of the sum wants it.
    BY_THE_TREE,
    /// Those of a rank joined before, in any order.
    RELAXED;

    /// Returns how many a rank sends that holds so many subtrees of the sum.
    int sent(int subtrees) {
      return this == RELAXED ? Math.min(1, subtrees) : subtrees;
    }
  }

  /// Returns what a rank sends in a step.
  public long sentBytesPerStep() {
    return sentBytes * times;
  }

  /// The collectives of a program, those that are alike as one.
  ///
  /// @param part what the program is called
  /// @param times how often a step runs it
  /// @param ranks of an axis
  /// @param sums how contributions are sent
  static List<PlannedExchange> ofProgram(
      Graph program, String part, int times, ToIntFunction<String> ranks, Sums sums) {
    Map<PlannedExchange, Integer> found = new LinkedHashMap<>();
    for (Node node : program.nodes()) {
      if (node.op() instanceof Primitive op && op.isCollective()) {
        found.merge(ofNode(op, node, part, ranks, sums), 1, Integer::sum);
      }
    }
    List<PlannedExchange> all = new ArrayList<>();
    found.forEach((each, count) -> all.add(each.times(count * times)));
    return all;
  }

  private static PlannedExchange ofNode(
      Primitive op, Node node, String part, ToIntFunction<String> ranks, Sums sums) {
    long bytes = node.outputs().getFirst().type().bytes();
    int sent = sums.sent(node.inputs().size());
    return switch (op) {
      case Primitive.AllReduce(String axis, var _, var _) ->
          allReduce(axis, ranks.applyAsInt(axis), part, bytes, sent, "");
      case Primitive.AllGather(String axis, int _, int _) ->
          allGather(axis, ranks.applyAsInt(axis), part, bytes, 1, "");
      case Primitive.ReduceScatter(String axis, var _, var _, int _) -> {
        long summed = node.inputs().getFirst().type().bytes();
        yield reduceScatter(axis, ranks.applyAsInt(axis), part, summed, 1, "").sending(sent);
      }
      case Primitive other ->
          throw new IllegalArgumentException("no program has such a collective: op=" + other);
    };
  }

  /// The same by a rank that sends several contributions, or none.
  private PlannedExchange sending(int contributions) {
    return new PlannedExchange(axis, what, bytes, contributions * sentBytes, times, behind);
  }

  private PlannedExchange times(int other) {
    return new PlannedExchange(axis, what, bytes, sentBytes, other, behind);
  }

  /// An all-reduce of `bytes`: a reduce-scatter and an all-gather.
  ///
  /// @param contributions that the rank sends
  private static PlannedExchange allReduce(
      String axis, int ranks, String what, long bytes, int contributions, String behind) {
    long sent = (contributions + 1) * part(bytes, ranks);
    return new PlannedExchange(axis, "all_reduce of " + what, bytes, sent, 1, behind);
  }

  /// The all-reduces of a lane's gradients in buckets; all but the last start while it goes on.
  ///
  /// @param contributions to the sum over lanes that the rank sends
  static List<PlannedExchange> ofBuckets(BucketPlan plan, int ranks, int contributions) {
    List<PlannedExchange> reductions = new ArrayList<>();
    int count = plan.buckets().size();
    for (int i = 0; i < count; i++) {
      String what = "gradients of bucket %d of %d".formatted(i + 1, count);
      long bytes = plan.bytes(plan.buckets().get(i));
      String behind = i + 1 < count ? "the last lane, from bucket %d on".formatted(i + 2) : "";
      reductions.add(allReduce(Layout.DATA, ranks, what, bytes, contributions, behind));
    }
    return reductions;
  }

  /// The reduce-scatters of rounds of lanes to shards: those to which the rank brings a lane, and
  /// those of other ranks' lanes alone, of which it sends nothing.
  ///
  /// @param rank place on the data axis
  static List<PlannedExchange> ofRounds(
      ShardRounds rounds, int ranks, int rank, String what, long bytes, String behind) {
    int own = rounds.reductionsOf(rank);
    int others = rounds.reductions() - own;
    List<PlannedExchange> reductions = new ArrayList<>();
    reductions.add(reduceScatter(Layout.DATA, ranks, what, bytes, own, behind));
    if (others > 0) {
      String words = what + ", of others' lanes";
      reductions.add(reduceScatter(Layout.DATA, ranks, words, bytes, others, behind).sending(0));
    }
    return reductions;
  }

  /// The reduce-scatter of what a rank's lanes are summed to.
  ///
  /// @param contributions that the rank sends
  static PlannedExchange ofSums(int ranks, String what, long bytes, int contributions) {
    return reduceScatter(Layout.DATA, ranks, what, bytes, 1, "").sending(contributions);
  }

  /// A reduce-scatter of `bytes`.
  private static PlannedExchange reduceScatter(
      String axis, int ranks, String what, long bytes, int times, String behind) {
    String words = "reduce_scatter of " + what;
    return new PlannedExchange(axis, words, bytes, part(bytes, ranks), times, behind);
  }

  /// An all-gather of `bytes` in all.
  static PlannedExchange allGather(
      String axis, int ranks, String what, long bytes, int times, String behind) {
    String words = "all_gather of " + what;
    return new PlannedExchange(axis, words, bytes, part(bytes, ranks), times, behind);
  }

  private static long part(long bytes, int ranks) {
    return bytes / ranks * (ranks - 1);
  }
}
