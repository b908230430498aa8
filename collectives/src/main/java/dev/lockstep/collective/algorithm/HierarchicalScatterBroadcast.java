package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.algorithm.Hierarchy.Piece;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Space;
import java.util.List;
import java.util.Optional;

/// Broadcast over ranks in groups within groups, by messages: the root scatters pieces within its
/// outermost group, each goes down a binomial tree of the ranks that hold it, one in each group,
/// and every group gathers them, level by level.
///
/// So all ranks of a group carry their share over the links between groups. With `n` outermost
/// groups of `g` ranks the root sends less than `2 S` within its group and, as its members do,
/// `ceil(log2 n) * S/g` beyond; the others less than `S` within their groups. No scratch. For many
/// bytes.
final class HierarchicalScatterBroadcast extends PlannedAlgorithm {
  /// Makes the algorithm.
  HierarchicalScatterBroadcast() {
    super("hierarchical-scatter-broadcast", CollectiveKind.BROADCAST);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Hierarchy.noLevels(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Hierarchy hierarchy = new Hierarchy(request);
    return Plan.of(rank -> steps(request, hierarchy, rank));
  }

  private static Steps steps(CollectiveRequest request, Hierarchy hierarchy, int rank) {
    Steps steps = new Steps();
    int root = request.root();
    GroupPieces pieces = new GroupPieces(hierarchy, rank);
    List<List<Piece>> held = pieces.held();
    Space space = rank == root ? new Space.Input(0) : new Space.Output();
    if (rank == root) {
      scatter(steps, hierarchy, pieces);
    } else if (hierarchy.group(rank) == hierarchy.group(root)) {
      held.getLast().forEach(piece -> steps.receive(root, pieces.range(space, piece)));
    }
    for (Piece piece : held.getLast()) {
      Group column = hierarchy.column(rank, piece);
      Binomial tree = new Binomial(column.size(), hierarchy.group(root));
      for (Binomial.Meeting meeting : tree.meetings(column.me()).reversed()) {
        int peer = column.rank(meeting.peer());
        if (meeting.leads()) {
          steps.send(peer, pieces.range(space, piece));
        } else {
          steps.receive(peer, pieces.range(space, piece));
        }
      }
    }
    for (int level = hierarchy.levels(); level > 0; level--) {
      for (Piece piece : held.get(level - 1)) {
        pieces.gather(steps, level, piece, space, root);
      }
    }
    if (rank == root && !request.inPlace()) {
      steps.copy(input(rank, 0, 0, request.total()), output(rank, 0, request.total()));
    }
    return steps;
  }

  private static void scatter(Steps steps, Hierarchy hierarchy, GroupPieces root) {
    int group = hierarchy.group(root.rank());
    for (int member = hierarchy.start(group); member < hierarchy.start(group + 1); member++) {
      if (member != root.rank()) {
        for (Piece piece : new GroupPieces(hierarchy, member).held().getLast()) {
          steps.send(member, root.range(new Space.Input(0), piece));
        }
      }
    }
  }
}
