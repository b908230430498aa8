package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.algorithm.Hierarchy.Piece;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Shares;
import dev.lockstep.collective.schedule.Space;
import java.util.ArrayList;
import java.util.List;

/// Pieces of what every rank has, exchanged within groups: each level's units join them or gather
/// them.
///
/// @param hierarchy the groups
/// @param rank whose steps are made
record GroupPieces(Hierarchy hierarchy, int rank) {
  /// Returns the pieces that the rank holds after each level; before the first one, everything.
  List<List<Piece>> held() {
    List<List<Piece>> held = new ArrayList<>();
    held.add(List.of(hierarchy.whole()));
    for (int level = 1; level <= hierarchy.levels(); level++) {
      List<Piece> pieces = new ArrayList<>();
      for (Piece below : held.getLast()) {
        Group group = hierarchy.column(level, rank, below);
        pieces.addAll(of(level, group, group.me(), below));
      }
      held.add(pieces);
    }
    return held;
  }

  /// Returns what a member of a group holds of a piece of the level below.
  private List<Piece> of(int level, Group group, int member, Piece below) {
    List<Piece> pieces = new ArrayList<>();
    Shares cut = hierarchy.cut(level, below);
    for (int number = member; number < hierarchy.fullUnits(level); number += group.size()) {
      pieces.add(hierarchy.piece(below, cut, number));
    }
    return pieces;
  }

  /// Returns how many elements arrive at once at most in the exchange of a level's pieces.
  long arriving() {
    long most = 0;
    List<List<Piece>> held = held();
    for (int level = 1; level <= hierarchy.levels(); level++) {
      for (Piece below : held.get(level - 1)) {
        Group group = hierarchy.column(level, rank, below);
        long arriving = 0;
        for (Piece piece : of(level, group, group.me(), below)) {
          arriving += piece.elements() * (group.size() - 1);
        }
        most = Math.max(most, arriving);
      }
    }
    return most;
  }

  /// Adds the steps by which the units of a group exchange the pieces of one and join each its own.
  ///
  /// @param source where the piece is
  /// @param target where the rank's own pieces of it go
  void exchange(
      Steps steps, CollectiveRequest request, int level, Piece below, Space source, Space target) {
    Group group = hierarchy.column(level, rank, below);
    List<Piece> mine = of(level, group, group.me(), below);
    if (group.size() == 1) {
      boolean together = request.inPlace() && target instanceof Space.Output;
      if (source instanceof Space.Input && !together) {
        steps.copy(range(source, below), range(target, below));
      }
      return;
    }
    int[] peers = Parts.peers(group.me(), group.size());
    for (int peer : peers) {
      for (int i = 0; i < mine.size(); i++) {
        steps.receive(group.rank(peer), arrival(group, mine, i, peer));
      }
    }
    for (int peer : peers) {
      for (Piece piece : of(level, group, peer, below)) {
        steps.send(group.rank(peer), range(source, piece));
      }
    }
    for (int i = 0; i < mine.size(); i++) {
      int number = i;
      Range own = range(source, mine.get(i));
      steps.reduce(
          range(target, mine.get(i)),
          Parts.tree(
              0,
              group.size(),
              unit -> unit == group.me() ? own : arrival(group, mine, number, unit)));
    }
  }

  /// Adds the steps by which the units of a group gather their pieces of one.
  ///
  /// @param source where the rank's own pieces are
  /// @param complete a rank that has everything and gets nothing, or -1
  void gather(Steps steps, int level, Piece below, Space source, int complete) {
    Group group = hierarchy.column(level, rank, below);
    List<Piece> mine = of(level, group, group.me(), below);
    int[] peers = Parts.peers(group.me(), group.size());
    for (int peer : peers) {
      for (Piece piece : mine) {
        if (group.rank(peer) != complete) {
          steps.send(group.rank(peer), range(source, piece));
        }
      }
    }
    for (int peer : peers) {
      for (Piece piece : of(level, group, peer, below)) {
        if (rank != complete) {
          steps.receive(group.rank(peer), range(new Space.Output(), piece));
        }
      }
    }
  }

  /// Returns a piece in one of the rank's memories.
  Range range(Space space, Piece piece) {
    return new Range(rank, space, piece.start(), piece.elements());
  }

  /// Returns where a unit's contribution to one of this rank's pieces arrives.
  private static Range arrival(Group group, List<Piece> mine, int number, int unit) {
    long offset = 0;
    for (Piece piece : mine.subList(0, number)) {
      offset += piece.elements() * (group.size() - 1);
    }
    long elements = mine.get(number).elements();
    int place = unit < group.me() ? unit : unit - 1;
    return Parts.scratch(group.rank(), offset + place * elements, elements);
  }
}
