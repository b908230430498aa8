package dev.lockstep.train;

import dev.lockstep.train.parallel.BucketPlan;
import java.util.ArrayList;
import java.util.List;

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

  /// An all-reduce of `bytes`: a reduce-scatter and an all-gather.
  static PlannedExchange allReduce(
      String axis, int ranks, String what, long bytes, int times, String behind) {
    long sent = 2 * part(bytes, ranks);
    return new PlannedExchange(axis, "all_reduce of " + what, bytes, sent, times, behind);
  }

  /// The all-reduces of a lane's gradients in buckets; all but the last start while it goes on.
  static List<PlannedExchange> ofBuckets(BucketPlan plan, int ranks) {
    List<PlannedExchange> reductions = new ArrayList<>();
    int count = plan.buckets().size();
    for (int i = 0; i < count; i++) {
      String what = "gradients of bucket %d of %d".formatted(i + 1, count);
      long bytes = plan.bytes(plan.buckets().get(i));
      String behind = i + 1 < count ? "the last lane, from bucket %d on".formatted(i + 2) : "";
      reductions.add(allReduce(Layout.DATA, ranks, what, bytes, 1, behind));
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
