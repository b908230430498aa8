package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.List;
import java.util.Optional;

/// Reduce over ranks in groups within groups, by messages: within each group up a binomial tree to
/// its leader, then alike among the leaders, level by level.
///
/// Realises the lane tree T in same-bits mode, whichever rank the root is, where every rank brings
/// one subtree and the ranks' order is the lanes'; groups are taken smaller there, to the largest
/// power of two that divides their size. One sum leaves a group. `ceil(log2 n)` messages deep for
/// each level of `n` units to a group; every rank but the root sends `S` bytes: for few bytes.
/// Scratch: `S` on those that receive.
public final class HierarchicalReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  public HierarchicalReduce() {
    super("hierarchical-reduce", CollectiveKind.REDUCE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Hierarchy.noGroups(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    LeaderTree tree = LeaderTree.of(request);
    return Plan.of(rank -> steps(request, tree, rank))
        .withScratch(rank -> needsScratch(request, tree, rank) ? request.total() : 0);
  }

  private static boolean needsScratch(CollectiveRequest request, LeaderTree tree, int rank) {
    boolean joins = tree.meetings(rank).size() > 1 || request.inputs(rank) > 1;
    return rank != request.root() && joins;
  }

  private static Steps steps(CollectiveRequest request, LeaderTree tree, int rank) {
    Steps steps = new Steps();
    long elements = request.total();
    boolean root = rank == request.root();
    List<LeaderTree.Meeting> meetings = tree.meetings(rank);
    Range sum = root ? output(rank, 0, elements) : scratch(rank, 0, elements);
    Range held = input(rank, 0, 0, elements);
    if (request.inputs(rank) > 1) {
      steps.reduce(sum, Parts.chain(request, rank, 0, elements));
      held = sum;
    } else if (root && request.inPlace()) {
      held = sum;
    }
    for (LeaderTree.Meeting meeting : meetings) {
      if (!meeting.leads()) {
        steps.send(meeting.peer(), held);
      } else if (held.equals(sum)) {
        steps.receiveReduce(meeting.peer(), sum);
      } else {
        steps.receive(meeting.peer(), sum);
        steps.join(sum, held);
        held = sum;
      }
    }
    if (root) {
      if (!held.equals(sum)) {
        steps.copy(held, sum);
      }
      steps.finish(request, sum);
    }
    return steps;
  }
}
