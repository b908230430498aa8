package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.ArrayList;
import java.util.List;

/// The tree in which every group has a leader, the root where it is one of its ranks, else the
/// first, and the leaders of a group's units meet by a binomial tree of their own.
///
/// @param ranks number of ranks
/// @param sizes ranks of a full group, from single ranks to all of them
/// @param root the leader of all
record LeaderTree(int ranks, List<Integer> sizes, int root) {
  /// A meeting of two leaders, seen by one of them.
  ///
  /// @param peer the other one
  /// @param leads whether this rank leads both together
  record Meeting(int peer, boolean leads) {}

  /// Returns the tree in which all ranks are one group: [Binomial]'s.
  static LeaderTree withoutGroups(CollectiveRequest request) {
    return new LeaderTree(request.ranks(), List.of(1, request.ranks()), request.root());
  }

  /// Returns the tree over the groups that a request's ranks may be joined by.
  static LeaderTree of(CollectiveRequest request) {
    List<Integer> sizes = new ArrayList<>(List.of(1));
    sizes.addAll(Hierarchy.levels(request));
    sizes.add(request.ranks());
    return new LeaderTree(request.ranks(), sizes, request.root());
  }

  /// Returns a rank's meetings, from the innermost groups out; the last one is the only one in
  /// which it does not lead, unless it is the root.
  List<Meeting> meetings(int rank) {
    List<Meeting> meetings = new ArrayList<>();
    for (int level = 1; level < sizes.size(); level++) {
      int size = sizes.get(level - 1);
      if (leader(rank - rank % size, size) != rank) {
        break;
      }
      meetWithin(level, rank, meetings);
    }
    return meetings;
  }

  /// Returns a rank's steps by which contributions are joined up the tree.
  Steps reduce(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    long elements = request.total();
    boolean isRoot = rank == root;
    Range sum = isRoot ? output(rank, 0, elements) : scratch(rank, 0, elements);
    Range held = input(rank, 0, 0, elements);
    if (request.inputs(rank) > 1) {
      steps.reduce(sum, Parts.chain(request, rank, 0, elements));
      held = sum;
    } else if (isRoot && request.inPlace()) {
      held = sum;
    }
    for (Meeting meeting : meetings(rank)) {
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
    if (isRoot) {
      if (!held.equals(sum)) {
        steps.copy(held, sum);
      }
      steps.finish(request, sum);
    }
    return steps;
  }

  /// Returns how much scratch the steps of [#reduce] need.
  long reduceScratch(CollectiveRequest request, int rank) {
    boolean joins = meetings(rank).size() > 1 || request.inputs(rank) > 1;
    return rank != root && joins ? request.total() : 0;
  }

  private void meetWithin(int level, int rank, List<Meeting> meetings) {
    int size = sizes.get(level - 1);
    int start = rank - rank % sizes.get(level);
    int end = Math.min(ranks, start + sizes.get(level));
    boolean hasRoot = start <= root && root < end;
    Binomial units =
        new Binomial(Math.ceilDiv(end - start, size), hasRoot ? (root - start) / size : 0);
    for (Binomial.Meeting meeting : units.meetings((rank - start) / size)) {
      int peer = leader(start + meeting.peer() * size, size);
      meetings.add(new Meeting(peer, meeting.leads()));
    }
  }

  /// Returns the leader of the ranks of a unit.
  private int leader(int start, int size) {
    return start <= root && root < start + size ? root : start;
  }
}
