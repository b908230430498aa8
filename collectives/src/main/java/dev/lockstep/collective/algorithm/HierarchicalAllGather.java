package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.algorithm.Crossings.Holding;
import dev.lockstep.collective.algorithm.Crossings.Move;
import dev.lockstep.collective.algorithm.Stretches.Stretch;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// All-gather over ranks in groups within groups, by messages: each group gathers by itself, then
/// its members fetch what it lacks, each an equal share of all of it, and gather that within the
/// group.
///
/// A part crosses the links between groups once for each group, by as many ranks at once as a group
/// has. With groups of `g` ranks a rank sends `(P-g)/P * S/g` bytes beyond its group, and less than
/// `S` within. `2^l - 1` messages deep over `l` levels, of which one between outermost groups. No
/// scratch.
final class HierarchicalAllGather extends PlannedAlgorithm {
  /// Makes the algorithm.
  HierarchicalAllGather() {
    super("hierarchical-all-gather", CollectiveKind.ALL_GATHER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Hierarchy.noLevels(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Crossings crossings = new Crossings(request);
    return Plan.of(rank -> steps(request, crossings, rank)).withAlike(crossings::alike);
  }

  private static Steps steps(CollectiveRequest request, Crossings crossings, int rank) {
    Steps steps = new Steps();
    if (!request.inPlace()) {
      Range own = input(rank, 0, 0, request.counts().get(rank));
      steps.copy(own, output(rank, request.displacement(rank), own.elements()));
    }
    gather(steps, crossings, crossings.levels(), rank, crossings.byCounts());
    return steps;
  }

  /// Adds the steps after which every rank of a rank's group has in its output what all of them
  /// held in theirs.
  static void gather(Steps steps, Crossings crossings, int level, int rank, Holding holding) {
    if (level == 0) {
      return;
    }
    gather(steps, crossings, level - 1, rank, holding);
    for (Move move : crossings.fetched(level, rank, holding)) {
      for (Stretch stretch : move.what().list()) {
        steps.receive(move.peer(), output(rank, stretch.start(), stretch.elements()));
      }
    }
    for (Move move : crossings.given(level, rank, holding)) {
      for (Stretch stretch : move.what().list()) {
        steps.send(move.peer(), output(rank, stretch.start(), stretch.elements()));
      }
    }
    gather(steps, crossings, level - 1, rank, crossings.afterFetching(level, rank, holding));
  }
}
