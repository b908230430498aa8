package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.algorithm.Hierarchy.Piece;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Shares;
import dev.lockstep.collective.schedule.Space;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// All-reduce over ranks in groups within groups, by messages: on each level, from the innermost
/// out, the units of a group exchange pieces and join them; every piece is reduced over the
/// outermost groups by recursive doubling, of halves or of everything; then pieces are gathered
/// from the outermost level in.
///
/// Realises the lane tree T in same-bits mode, where every rank brings one subtree and the ranks'
/// order is the lanes'; groups are taken smaller there, to the largest power of two that divides
/// their size. With groups of `g` ranks that hold groups of `h` a rank sends twice `(h-1)/h * S`
/// within its inner group, twice `(g-h)/g * S/h` within the outer one, and at most four times `S/g`
/// beyond (`log2` of the number of groups times `S/g` without halves). Scratch: `S`.
///
/// A rank's steps take time and memory in proportion to their number.
public final class HierarchicalAllReduce extends PlannedAlgorithm {
  private final boolean halving;

  private HierarchicalAllReduce(String name, boolean halving) {
    super(name, CollectiveKind.ALL_REDUCE);
    this.halving = halving;
  }

  /// Returns the algorithm by which outermost groups exchange halves: for many bytes.
  public static HierarchicalAllReduce halving() {
    return new HierarchicalAllReduce("hierarchical-all-reduce", true);
  }

  /// Returns the algorithm by which outermost groups exchange everything: for few bytes.
  public static HierarchicalAllReduce doubling() {
    return new HierarchicalAllReduce("hierarchical-doubling-all-reduce", false);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    if (Hierarchy.levels(request).isEmpty()) {
      return Optional.of(
          request.topology().levels().isEmpty()
              ? "all ranks are equally near"
              : "no group of ranks is a subtree of the lane tree");
    }
    return Parts.notInRankOrder(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Hierarchy hierarchy = new Hierarchy(request);
    return Plan.of(rank -> steps(request, hierarchy, rank))
        .withScratch(rank -> scratch(request, hierarchy, rank))
        .withAlike(rank -> hierarchy.alike(rank, halving));
  }

  private Steps steps(CollectiveRequest request, Hierarchy hierarchy, int rank) {
    Steps steps = new Steps();
    Space space = Parts.joinOwn(steps, request, rank);
    List<List<Piece>> held = held(hierarchy, rank);
    for (int level = 1; level <= hierarchy.levels(); level++) {
      for (Piece piece : held.get(level - 1)) {
        exchange(steps, request, hierarchy, level, rank, piece, space);
      }
      space = new Space.Output();
    }
    for (Piece piece : held.getLast()) {
      Group column = hierarchy.column(rank, piece);
      new Butterfly(request, column, cut(request, column, piece), halving, true)
          .allReduce(steps, space);
    }
    for (int level = hierarchy.levels(); level > 0; level--) {
      for (Piece piece : held.get(level - 1)) {
        gather(steps, hierarchy, level, rank, piece);
      }
    }
    return steps;
  }

  /// Returns the pieces that a rank holds after each level; before the first one, everything.
  private static List<List<Piece>> held(Hierarchy hierarchy, int rank) {
    List<List<Piece>> held = new ArrayList<>();
    held.add(List.of(hierarchy.whole()));
    for (int level = 1; level <= hierarchy.levels(); level++) {
      List<Piece> pieces = new ArrayList<>();
      for (Piece below : held.getLast()) {
        Group group = hierarchy.column(level, rank, below);
        pieces.addAll(pieces(hierarchy, level, group, group.me(), below));
      }
      held.add(pieces);
    }
    return held;
  }

  /// Returns what a member holds of a piece of the level below.
  private static List<Piece> pieces(
      Hierarchy hierarchy, int level, Group group, int member, Piece below) {
    List<Piece> pieces = new ArrayList<>();
    Shares cut = hierarchy.cut(level, below);
    for (int number = member; number < hierarchy.fullUnits(level); number += group.size()) {
      pieces.add(hierarchy.piece(below, cut, number));
    }
    return pieces;
  }

  private Cut cut(CollectiveRequest request, Group column, Piece piece) {
    int parts = halving ? Integer.highestOneBit(column.size()) : 1;
    int bytes = request.dtype().bytes();
    return Cut.of(piece.start(), Shares.atCacheLines(piece.elements(), parts, bytes));
  }

  private long scratch(CollectiveRequest request, Hierarchy hierarchy, int rank) {
    long most = 0;
    List<List<Piece>> held = held(hierarchy, rank);
    for (int level = 1; level <= hierarchy.levels(); level++) {
      for (Piece below : held.get(level - 1)) {
        Group group = hierarchy.column(level, rank, below);
        long arriving = 0;
        for (Piece piece : pieces(hierarchy, level, group, group.me(), below)) {
          arriving += piece.elements() * (group.size() - 1);
        }
        most = Math.max(most, arriving);
      }
    }
    for (Piece piece : held.getLast()) {
      Group column = hierarchy.column(rank, piece);
      int parts = halving ? Integer.highestOneBit(column.size()) : 1;
      Cut cut = cut(request, column, piece);
      most = Math.max(most, Butterfly.scratchElements(cut, parts));
    }
    return most;
  }

  /// All-to-all exchange of the pieces of one, with a local join of this rank's.
  private static void exchange(
      Steps steps,
      CollectiveRequest request,
      Hierarchy hierarchy,
      int level,
      int rank,
      Piece below,
      Space space) {
    Group group = hierarchy.column(level, rank, below);
    List<Piece> mine = pieces(hierarchy, level, group, group.me(), below);
    if (group.size() == 1) {
      if (space instanceof Space.Input && !request.inPlace()) {
        steps.copy(range(rank, space, below), range(rank, new Space.Output(), below));
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
      for (Piece piece : pieces(hierarchy, level, group, peer, below)) {
        steps.send(group.rank(peer), range(rank, space, piece));
      }
    }
    for (int i = 0; i < mine.size(); i++) {
      int number = i;
      Range own = range(rank, space, mine.get(i));
      steps.reduce(
          range(rank, new Space.Output(), mine.get(i)),
          Parts.tree(
              0,
              group.size(),
              unit -> unit == group.me() ? own : arrival(group, mine, number, unit)));
    }
  }

  private static void gather(Steps steps, Hierarchy hierarchy, int level, int rank, Piece below) {
    Group group = hierarchy.column(level, rank, below);
    List<Piece> mine = pieces(hierarchy, level, group, group.me(), below);
    int[] peers = Parts.peers(group.me(), group.size());
    for (int peer : peers) {
      for (Piece piece : mine) {
        steps.send(group.rank(peer), range(rank, new Space.Output(), piece));
      }
    }
    for (int peer : peers) {
      for (Piece piece : pieces(hierarchy, level, group, peer, below)) {
        steps.receive(group.rank(peer), range(rank, new Space.Output(), piece));
      }
    }
  }

  private static Range range(int rank, Space space, Piece piece) {
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
