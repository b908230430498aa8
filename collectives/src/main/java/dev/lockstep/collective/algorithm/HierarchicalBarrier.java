package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Barrier over ranks in groups within groups, by messages of no bytes: within each group all tell
/// the first one, over at most [#FAN_IN] at a time; the first ones of the outermost groups meet as
/// in [MessageBarrier]; and what they know goes back as it came.
///
/// `ceil(log2 n)` messages deep between `n` outermost groups, from each of which one rank speaks;
/// twice `ceil(log8 n)` within a group of `n` units. Four steps a rank, but for the first ones.
final class HierarchicalBarrier extends PlannedAlgorithm {
  /// As many messages and as many looks take about as long as the hop that they save.
  private static final int FAN_IN = 8;

  /// Ranks whose numbers in their group are multiples of `unit` tell the multiple of `whole` below.
  ///
  /// @param group ranks of a full group
  private record Stage(int group, int unit, int whole) {
    /// Returns the rank that another one tells; itself if others tell it.
    int leader(int rank) {
      return rank - rank % group % whole;
    }

    /// Returns who tells a rank.
    List<Integer> members(int leader, int ranks) {
      List<Integer> members = new ArrayList<>();
      int within = leader % group;
      int end = Math.min(within + whole, group);
      for (int at = within + unit; at < end && leader + at - within < ranks; at += unit) {
        members.add(leader + at - within);
      }
      return members;
    }
  }

  /// Makes the algorithm.
  HierarchicalBarrier() {
    super("hierarchical-barrier", CollectiveKind.BARRIER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Hierarchy.noLevels(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    List<Integer> levels = request.topology().levels();
    List<Stage> stages = stages(levels);
    int outermost = levels.getLast();
    boolean turns = Hierarchy.turns(request);
    return Plan.of(rank -> steps(request.ranks(), stages, outermost, rank))
        .withAlike(rank -> turns ? rank % outermost : rank);
  }

  private static List<Stage> stages(List<Integer> levels) {
    List<Stage> stages = new ArrayList<>();
    int unit = 1;
    for (int group : levels) {
      while (unit < group) {
        int whole = (int) Math.min((long) unit * FAN_IN, group);
        stages.add(new Stage(group, unit, whole));
        unit = whole;
      }
    }
    return stages;
  }

  private static Steps steps(int ranks, List<Stage> stages, int outermost, int rank) {
    Range nothing = Parts.output(rank, 0, 0);
    Steps steps = new Steps();
    int led = 0; // stages in which others tell this one
    while (led < stages.size() && stages.get(led).leader(rank) == rank) {
      stages.get(led++).members(rank, ranks).forEach(member -> steps.hear(member, nothing));
    }
    if (led < stages.size()) {
      int leader = stages.get(led).leader(rank);
      steps.tell(leader, nothing);
      steps.hear(leader, nothing);
    } else {
      disseminate(steps, Math.ceilDiv(ranks, outermost), outermost, rank, nothing);
    }
    for (Stage stage : stages.subList(0, led).reversed()) {
      stage.members(rank, ranks).forEach(member -> steps.tell(member, nothing));
    }
    return steps;
  }

  private static void disseminate(Steps steps, int groups, int outermost, int rank, Range nothing) {
    int group = rank / outermost;
    for (int distance = 1; distance < groups; distance <<= 1) {
      steps.tell((group + distance) % groups * outermost, nothing);
      steps.hear(Math.floorMod(group - distance, groups) * outermost, nothing);
    }
  }
}
