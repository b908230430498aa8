package dev.lockstep.collective.verify;

import java.util.List;

/// What the verifier found about a schedule.
public sealed interface Verdict {
  /// The schedule does what its request asks, always ends, and no two of its steps race.
  ///
  /// @param reductions for a reducing kind the trees that it computes, by ascending elements of the
  ///   reduction, each element once; else empty
  /// @param realisesLaneTree whether all of them are the lane tree T
  /// @param steps number of steps of all ranks together
  record Proven(List<Reduction> reductions, boolean realisesLaneTree, long steps)
      implements Verdict {}

  /// Something is wrong.
  ///
  /// @param reason what, in one sentence that names rank, step and range
  /// @param rank the rank where it shows
  /// @param step position in that rank's steps, or their number where it shows at the end
  record Refused(String reason, int rank, int step) implements Verdict {}

  /// The tree of a stretch of elements.
  ///
  /// @param offset first element
  /// @param elements how many
  /// @param tree how each of them is reduced
  record Reduction(long offset, long elements, ReductionTree tree) {}
}
