package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.train.parallel.BucketPlan;
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
  /// Returns what a rank sends in a step.
  public long sentBytesPerStep() {
    return sentBytes * times;
  }

  /// The collectives of a program, those that are alike as one.
  ///
  /// @param part what the program is called
  /// @param times how often a step runs it
  /// @param ranks of an axis
  static List<PlannedExchange> ofProgram(
      Graph program, String part, int times, ToIntFunction<String> ranks) {
    Map<PlannedExchange, Integer> found = new LinkedHashMap<>();
    for (Node node : program.nodes()) {
      if (node.op() instanceof Primitive op && op.isCollective()) {
        found.merge(ofNode(op, node, part, ranks), 1, Integer::sum);
      }
    }
    List<PlannedExchange> all = new ArrayList<>();
    found.forEach((each, count) -> all.add(each.times(count * times)));
    return all;
  }

  private static PlannedExchange ofNode(
      Primitive op, Node node, String part, ToIntFunction<String> ranks) {
    long bytes = node.outputs().getFirst().type().bytes();
    return switch (op) {
      case Primitive.AllReduce(String axis, var _, var _) ->
          allReduce(axis, ranks.applyAsInt(axis), part, bytes, node.inputs().size(), "");
      case Primitive.AllGather(String axis, int _, int _) ->
          allGather(axis, ranks.applyAsInt(axis), part, bytes, 1, "");
      case Primitive.ReduceScatter(String axis, var _, var _, int _) -> {
        long summed = node.inputs().getFirst().type().bytes();
        yield reduceScatter(axis, ranks.applyAsInt(axis), part, summed, 1, "");
      }
      case Primitive other ->
          throw new IllegalArgumentException("no program has such a collective: op=" + other);
    };
  }

  /// The same by a rank that holds several subtrees of the sum: it sends each.
  PlannedExchange ofSubtrees(int subtrees) {
    return new PlannedExchange(axis, what, bytes, subtrees * sentBytes, times, behind);
  }

  private PlannedExchange times(int other) {
    return new PlannedExchange(axis, what, bytes, sentBytes, other, behind);
  }

  /// An all-reduce of `bytes`: a reduce-scatter and an all-gather.
  ///
  /// @param subtrees of the sum that the rank holds: it sends each
  private static PlannedExchange allReduce(
      String axis, int ranks, String what, long bytes, int subtrees, String behind) {
    long sent = (subtrees + 1) * part(bytes, ranks);
    return new PlannedExchange(axis, "all_reduce of " + what, bytes, sent, 1, behind);
  }

  /// The all-reduces of a lane's gradients in buckets; all but the last start while it goes on.
  ///
  /// @param subtrees of the sum over lanes that the rank holds
  static List<PlannedExchange> ofBuckets(BucketPlan plan, int ranks, int subtrees) {
    List<PlannedExchange> reductions = new ArrayList<>();
    int count = plan.buckets().size();
    for (int i = 0; i < count; i++) {
      String what = "gradients of bucket %d of %d".formatted(i + 1, count);
      long bytes = plan.bytes(plan.buckets().get(i));
      String behind = i + 1 < count ? "the last lane, from bucket %d on".formatted(i + 2) : "";
      reductions.add(allReduce(Layout.DATA, ranks, what, bytes, subtrees, behind));
    }
    return reductions;
  }

  /// A reduce-scatter of `bytes`.
  static PlannedExchange reduceScatter(
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
