package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.algorithm.Hierarchy.Piece;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Reduce-scatter over ranks in groups within groups, by messages: on each level, from the
/// innermost out, the units of a group exchange what belongs to their numbers in any group and join
/// it; then the ranks of one number in all outermost groups exchange their own parts.
///
/// Realises the lane tree T in same-bits mode, where every rank brings one subtree and the ranks'
/// order is the lanes'; groups are taken smaller there, to the largest power of two that divides
/// their size. One message deep for each level and one between outermost groups. With groups of `g`
/// ranks a rank sends `(P-g)/P * S/g` bytes beyond its group, in messages of one part. Scratch:
/// less than `S`; `S` more where a rank joins contributions of its own.
///
/// A rank's steps take memory in proportion to the number of ranks, and time in proportion to that
/// and the units of a group.
final class HierarchicalReduceScatter extends PlannedAlgorithm {
  /// Makes the algorithm.
  HierarchicalReduceScatter() {
    super("hierarchical-reduce-scatter", CollectiveKind.REDUCE_SCATTER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Hierarchy.noGroups(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Hierarchy hierarchy = new Hierarchy(request);
    int size = hierarchy.size(hierarchy.levels());
    boolean turns =
        request.ranks() % size == 0
            && request.counts().areEqual()
            && request.lanes().isOnePerRank();
    return Plan.of(rank -> new Building(request, hierarchy, rank).reduced())
        .withScratch(rank -> new Building(request, hierarchy, rank).scratchElements())
        .withAlike(rank -> turns ? rank % size : rank);
  }

  /// Parts of ranks that a rank holds, joined over its group of some level.
  ///
  /// @param piece the ranks' number in groups of this level
  /// @param owners those ranks, ascending
  /// @param where where each one's part is
  private record Held(Piece piece, List<Integer> owners, List<Range> where) {}

  /// One rank's program in the making. What arrives lies in scratch, one message after another, and
  /// is joined in the place of the first.
  private static final class Building {
    private final CollectiveRequest request;
    private final Hierarchy hierarchy;
    private final int rank;
    private final Steps steps = new Steps();
    private long used;

    Building(CollectiveRequest request, Hierarchy hierarchy, int rank) {
      this.request = request;
      this.hierarchy = hierarchy;
      this.rank = rank;
    }

    long scratchElements() {
      reduced();
      return used;
    }

    Steps reduced() {
      List<Held> held = List.of(own());
      for (int level = 1; level <= hierarchy.levels(); level++) {
        List<Held> joined = new ArrayList<>();
        for (Held below : held) {
          joined.addAll(exchange(level, below));
        }
        held = joined;
      }
      held.forEach(this::exchangeOwn);
      steps.finish(request, output(rank, 0, request.counts().get(rank)));
      return steps;
    }

    private Held own() {
      boolean joins = request.inputs(rank) > 1;
      if (joins) {
        used = request.total();
        steps.reduce(scratch(rank, 0, used), Parts.chain(request, rank, 0, used));
      }
      Held all = new Held(hierarchy.whole(), new ArrayList<>(), new ArrayList<>());
      for (int owner = 0; owner < request.ranks(); owner++) {
        long start = request.displacement(owner);
        long elements = request.counts().get(owner);
        all.owners().add(owner);
        all.where().add(joins ? scratch(rank, start, elements) : input(rank, 0, start, elements));
      }
      return all;
    }

    /// Exchanges what a rank holds within its group, and returns what it then holds of it.
    private List<Held> exchange(int level, Held below) {
      Group group = hierarchy.column(level, rank, below.piece());
      List<Held> mine = pieces(level, group, group.me(), below);
      if (group.size() == 1) {
        return mine;
      }
      int[] peers = Parts.peers(group.me(), group.size());
      List<List<Range[]>> arrived = new ArrayList<>();
      for (Held held : mine) {
        arrived.add(held.owners().stream().map(_ -> new Range[group.size()]).toList());
      }
      for (int peer : peers) {
        for (int i = 0; i < mine.size(); i++) {
          receive(group, peer, mine.get(i), arrived.get(i));
        }
      }
      for (int peer : peers) {
        for (Held held : pieces(level, group, peer, below)) {
          held.where().forEach(part -> steps.send(group.rank(peer), part));
        }
      }
      List<Held> joined = new ArrayList<>();
      for (int i = 0; i < mine.size(); i++) {
        joined.add(join(group, mine.get(i), arrived.get(i)));
      }
      return joined;
    }

    /// Returns what a member of a group gets of what each of them holds.
    private List<Held> pieces(int level, Group group, int member, Held below) {
      List<Held> pieces = new ArrayList<>();
      for (int number = member; number < hierarchy.fullUnits(level); number += group.size()) {
        List<Integer> path = new ArrayList<>(below.piece().path());
        path.add(number);
        Held piece = new Held(new Piece(path, 0, 0), new ArrayList<>(), new ArrayList<>());
        for (int i = 0; i < below.owners().size(); i++) {
          int owner = below.owners().get(i);
          if (owner % hierarchy.size(level) / hierarchy.size(level - 1) == number) {
            piece.owners().add(owner);
            piece.where().add(below.where().get(i));
          }
        }
        pieces.add(piece);
      }
      return pieces;
    }

    private void receive(Group group, int peer, Held held, List<Range[]> arrived) {
      for (int i = 0; i < arrived.size(); i++) {
        arrived.get(i)[peer] = arrival(held.where().get(i).elements());
        steps.receive(group.rank(peer), arrived.get(i)[peer]);
      }
    }

    private Held join(Group group, Held held, List<Range[]> arrived) {
      List<Range> sums = new ArrayList<>();
      for (int i = 0; i < arrived.size(); i++) {
        Range own = held.where().get(i);
        Range[] others = arrived.get(i);
        Range sum = others[group.me() == 0 ? 1 : 0];
        steps.reduce(
            sum, Parts.tree(0, group.size(), unit -> unit == group.me() ? own : others[unit]));
        sums.add(sum);
      }
      return new Held(held.piece(), held.owners(), sums);
    }

    /// Sends to each outermost group the part of its rank of this number, and joins the rank's own
    /// if it is of this number.
    private void exchangeOwn(Held held) {
      Group column = hierarchy.column(rank, held.piece());
      int size = hierarchy.size(hierarchy.levels());
      int own = held.owners().indexOf(rank);
      int[] peers = Parts.peers(column.me(), column.size());
      Range[] arrived = new Range[column.size()];
      for (int peer : peers) {
        if (own >= 0) {
          arrived[peer] = arrival(request.counts().get(rank));
          steps.receive(column.rank(peer), arrived[peer]);
        }
      }
      for (int peer : peers) {
        // Owners ascend: one in each group, save perhaps the last.
        if (peer < held.owners().size() && held.owners().get(peer) / size == peer) {
          steps.send(column.rank(peer), held.where().get(peer));
        }
      }
      if (own >= 0) {
        steps.reduce(
            output(rank, 0, request.counts().get(rank)),
            Parts.tree(
                0,
                column.size(),
                group -> group == column.me() ? held.where().get(own) : arrived[group]));
      }
    }

    private Range arrival(long elements) {
      used += elements;
      return scratch(rank, used - elements, elements);
    }
  }
}
