package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// Broadcast over ranks in groups within groups, by messages: from the root down a binomial tree of
/// the outermost groups' leaders, then within each group alike.
///
/// Everything crosses the links to a group once, whichever rank the root is. `ceil(log2 n)`
/// messages deep for each level of `n` units to a group; the root sends as often: for few bytes.
final class HierarchicalBroadcast extends PlannedAlgorithm {
  /// Makes the algorithm.
  HierarchicalBroadcast() {
    super("hierarchical-broadcast", CollectiveKind.BROADCAST);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Hierarchy.noLevels(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    LeaderTree tree = LeaderTree.of(request);
    return Plan.of(rank -> steps(request, tree, rank));
  }

  private static Steps steps(CollectiveRequest request, LeaderTree tree, int rank) {
    Steps steps = new Steps();
    long elements = request.total();
    boolean root = rank == request.root();
    Range held = root ? input(rank, 0, 0, elements) : output(rank, 0, elements);
    for (LeaderTree.Meeting meeting : tree.meetings(rank).reversed()) {
      if (meeting.leads()) {
        steps.send(meeting.peer(), held);
      } else {
        steps.receive(meeting.peer(), held);
      }
    }
    if (root && !request.inPlace()) {
      steps.copy(held, output(rank, 0, elements));
    }
    return steps;
  }
}
