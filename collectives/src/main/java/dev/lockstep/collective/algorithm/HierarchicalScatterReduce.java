package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.algorithm.Hierarchy.Piece;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.ScratchSpace;
import dev.lockstep.collective.schedule.Space;
import java.util.List;
import java.util.Optional;

/// Reduce over ranks in groups within groups, by messages: each group's ranks exchange pieces and
/// join them, level by level; each piece goes up a binomial tree of the ranks that hold it, one in
/// each outermost group, and the ranks of the root's group send it theirs.
///
/// So all ranks of a group carry their share over the links between groups. Realises the lane tree
/// T in same-bits mode, whichever rank the root is, where every rank brings one subtree and the
/// ranks' order is the lanes'; groups are taken smaller there, to the largest power of two that
/// divides their size. With outermost groups of `g` ranks a rank sends less than `S` within its
/// group and `S/g` beyond. Scratch: `2 S`. For many bytes.
final class HierarchicalScatterReduce extends PlannedAlgorithm {
  /// Makes the algorithm.
  HierarchicalScatterReduce() {
    super("hierarchical-scatter-reduce", CollectiveKind.REDUCE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Hierarchy.noGroups(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Hierarchy hierarchy = new Hierarchy(request);
    return new Plan(
        rank -> steps(request, hierarchy, rank),
        rank -> scratch(request, hierarchy, rank),
        rank -> rank);
  }

  /// What arrives lies in the first scratch space, what is joined in the second, each element at
  /// its own place; the root joins in its output.
  private static List<ScratchSpace> scratch(
      CollectiveRequest request, Hierarchy hierarchy, int rank) {
    GroupPieces pieces = new GroupPieces(hierarchy, rank);
    long arriving = pieces.arriving();
    for (Piece piece : pieces.held().getLast()) {
      arriving = Math.max(arriving, piece.elements());
    }
    if (request.total() == 0) {
      return List.of();
    }
    ScratchSpace arrivals = new ScratchSpace(Math.max(1, arriving), false);
    return rank == request.root()
        ? List.of(arrivals)
        : List.of(arrivals, new ScratchSpace(request.total(), false));
  }

  private static Steps steps(CollectiveRequest request, Hierarchy hierarchy, int rank) {
    Steps steps = new Steps();
    int root = request.root();
    Space sum = rank == root ? new Space.Output() : new Space.Scratch(1);
    Space space = new Space.Input(0);
    if (request.inputs(rank) > 1) {
      space = sum;
      Range whole = new Range(rank, sum, 0, request.total());
      steps.reduce(whole, Parts.chain(request, rank, 0, request.total()));
    }
    GroupPieces pieces = new GroupPieces(hierarchy, rank);
    List<List<Piece>> held = pieces.held();
    for (int level = 1; level <= hierarchy.levels(); level++) {
      for (Piece piece : held.get(level - 1)) {
        pieces.exchange(steps, request, level, piece, space, sum);
      }
      space = sum;
    }
    for (Piece piece : held.getLast()) {
      reduce(steps, hierarchy.column(rank, piece), hierarchy.group(root), pieces.range(sum, piece));
    }
    if (rank == root) {
      collect(steps, hierarchy, pieces);
      steps.finish(request, output(rank, 0, request.total()));
    } else if (hierarchy.group(rank) == hierarchy.group(root)) {
      held.getLast().forEach(piece -> steps.send(root, pieces.range(sum, piece)));
    }
    return steps;
  }

  /// Adds the steps by which a piece is reduced to the root's group.
  private static void reduce(Steps steps, Group column, int to, Range sum) {
    for (Binomial.Meeting meeting : new Binomial(column.size(), to).meetings(column.me())) {
      int peer = column.rank(meeting.peer());
      if (meeting.leads()) {
        Range arrival = Parts.scratch(column.rank(), 0, sum.elements());
        steps.receive(peer, arrival);
        steps.join(sum, arrival);
      } else {
        steps.send(peer, sum);
      }
    }
  }

  private static void collect(Steps steps, Hierarchy hierarchy, GroupPieces root) {
    int group = hierarchy.group(root.rank());
    for (int member = hierarchy.start(group); member < hierarchy.start(group + 1); member++) {
      if (member != root.rank()) {
        for (Piece piece : new GroupPieces(hierarchy, member).held().getLast()) {
          steps.receive(member, root.range(new Space.Output(), piece));
        }
      }
    }
  }
}
