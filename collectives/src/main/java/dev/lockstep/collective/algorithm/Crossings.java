package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Shares;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/// Who fetches what over the links of a level, so that every group gets what it lacks once and all
/// its members fetch as much.
///
/// A group of a level consists of units: groups of the level below, or ranks. Of `n` full units of
/// `m` ranks each lacks the other `n-1`; these, in order from its successor on, are cut into `m`
/// cells each, and its `i`-th member fetches the `i`-th run of `n-1` cells, from the `i`-th members
/// of the units that have them. So turning the units round changes nothing. A last unit that is
/// smaller exchanges cells with every full one: where its own units are equally many as, or divide,
/// the full ones, each of them serves every n-th of those, else all its ranks serve all.
///
/// Everything is computed from a rank's number. Which elements a rank fetches takes time in
/// proportion to the number of units that it fetches from.
final class Crossings {
  /// Where groups hold more bytes than this, what they hold is not put together into longer
  /// messages: those hardly gain, and where the order of units begins would be another for each.
  private static final long SHORT_BYTES = 64 << 10;

  /// What the ranks of a group hold: elements that no two of them share.
  @FunctionalInterface
  interface Holding {
    /// Returns what ranks from a first one up to an end hold.
    Stretches of(int first, int end);
  }

  /// What goes from one rank to another.
  ///
  /// @param peer the other rank
  /// @param what which elements, in the order of messages
  record Move(int peer, Stretches what) {}

  /// A group as its units.
  ///
  /// @param start first rank
  /// @param size ranks of a full unit
  /// @param full number of full units
  /// @param rest ranks of a smaller last unit, 0 if there is none
  /// @param width how many of these, one after another, exchange with one full unit
  private record Units(int start, int size, int full, int rest, int width) {
    int restStart() {
      return start + full * size;
    }

    boolean isOfRest(int rank) {
      return rank >= restStart();
    }

    int unit(int rank) {
      return (rank - start) / size;
    }

    int member(int rank) {
      return (rank - start) % size;
    }

    int rank(int unit, int member) {
      return start + unit * size + member;
    }

    /// Returns how many runs of ranks the smaller unit serves by.
    int runs() {
      return rest / width;
    }

    /// Returns the rank of the smaller unit that exchanges with a member of a full one.
    int server(int unit, int member) {
      return restStart() + runOf(unit) * width + member;
    }

    Stretches held(Holding holding, int unit) {
      return holding.of(rank(unit, 0), rank(unit + 1, 0));
    }

    /// Returns which run of the smaller unit exchanges with a full unit.
    int runOf(int unit) {
      return unit % runs();
    }

    /// Adds what the smaller unit holds, in order from one of its runs on.
    Stretches heldByRest(Holding holding, int run, Stretches to) {
      for (int after = 0; after < runs(); after++) {
        int first = restStart() + (run + after) % runs() * width;
        Stretches held = holding.of(first, first + width);
        to.add(held, 0, held.elements());
      }
      return to;
    }
  }

  private final CollectiveRequest request;
  private final int[] sizes; // ranks of a full group, from single ranks to all of them
  private final boolean joins;

  Crossings(CollectiveRequest request) {
    this.request = request;
    List<Integer> levels = request.topology().levels();
    this.sizes = new int[levels.size() + 2];
    sizes[0] = 1;
    for (int level = 1; level <= levels.size(); level++) {
      sizes[level] = levels.get(level - 1);
    }
    sizes[levels.size() + 1] = request.ranks();
    long each = request.counts().areEqual() ? request.counts().get(0) : 0;
    this.joins = each * request.dtype().bytes() * sizes[levels.size()] < SHORT_BYTES;
  }

  /// Returns the number of levels, that of all ranks among them.
  int levels() {
    return sizes.length - 1;
  }

  /// Returns a holding in which every rank holds its part of a request's counts.
  Holding byCounts() {
    return (first, end) -> {
      long start = request.counts().start(first);
      return none().add(start, request.counts().start(end) - start);
    };
  }

  /// Returns the lowest rank like this one where every rank holds its part, if it is known.
  int alike(int rank) {
    if (joins || !request.counts().areEqual()) {
      return rank;
    }
    Units units = units(levels(), rank);
    if (!units.isOfRest(rank)) {
      return units.member(rank);
    }
    return units.restStart() + (rank - units.restStart()) % units.width();
  }

  /// Returns what a rank fetches from other units of its group.
  List<Move> fetched(int level, int rank, Holding holding) {
    return moves(level, rank, holding, true);
  }

  /// Returns what other units of its group fetch from a rank.
  List<Move> given(int level, int rank, Holding holding) {
    return moves(level, rank, holding, false);
  }

  /// Returns what all ranks of a rank's unit hold together.
  Stretches ofUnit(int level, int rank, Holding holding) {
    Units units = units(level, rank);
    return units.isOfRest(rank)
        ? units.heldByRest(holding, (rank - units.restStart()) / units.width(), none())
        : units.held(holding, units.unit(rank));
  }

  /// Returns what the ranks of a rank's unit have fetched.
  Holding afterFetching(int level, int rank, Holding holding) {
    Units units = units(level, rank);
    int unit = units.unit(rank);
    Map<Long, Stretches> known = new HashMap<>(); // by first and end: asked for again and again
    return (first, end) ->
        known.computeIfAbsent(
            (long) first << 32 | end,
            _ ->
                units.isOfRest(rank)
                    ? fetchedByRest(units, holding, first, end)
                    : fetchedByUnit(units, unit, holding, first, end));
  }

  private Units units(int level, int rank) {
    int size = sizes[level - 1];
    int start = rank - rank % sizes[level];
    int ranks = Math.min(request.ranks(), start + sizes[level]) - start;
    int full = ranks / size;
    int rest = ranks % size;
    int inner = sizes[Math.max(0, level - 2)];
    boolean deals = rest > 0 && rest % inner == 0 && full % (rest / inner) == 0;
    return new Units(start, size, full, rest, deals ? inner : Math.max(1, rest));
  }

  private List<Move> moves(int level, int rank, Holding holding, boolean fetches) {
    Units units = units(level, rank);
    List<Move> moves = new ArrayList<>();
    if (units.isOfRest(rank)) {
      int member = (rank - units.restStart()) % units.width();
      int first = (rank - units.restStart()) / units.width();
      Stretches own = fetches ? none() : units.heldByRest(holding, first, none());
      for (int unit = first; unit < units.full(); unit += units.runs()) {
        Stretches held = fetches ? units.held(holding, unit) : own;
        moves.add(
            new Move(
                units.rank(unit, member), cells(none(), held, units.width(), member, member + 1)));
      }
      return moves;
    }
    int unit = units.unit(rank);
    int member = units.member(rank);
    long perMember = units.full() - 1L;
    long end = perMember * (member + 1);
    Stretches own = fetches ? none() : units.held(holding, unit);
    for (long cell = perMember * member; cell < end; ) {
      int distance = (int) (cell / units.size()) + 1;
      long before = (distance - 1L) * units.size();
      long last = Math.min(end, before + units.size());
      int peer = Math.floorMod(fetches ? unit + distance : unit - distance, units.full());
      Stretches held = fetches ? units.held(holding, peer) : own;
      Stretches what = cells(none(), held, units.size(), cell - before, last - before);
      moves.add(new Move(units.rank(peer, member), what));
      cell = last;
    }
    if (units.rest() > 0 && member < units.width()) {
      Stretches held = fetches ? units.heldByRest(holding, units.runOf(unit), none()) : own;
      moves.add(
          new Move(
              units.server(unit, member), cells(none(), held, units.width(), member, member + 1)));
    }
    return moves;
  }

  private Stretches fetchedByUnit(Units units, int unit, Holding holding, int first, int end) {
    Stretches fetched = none();
    long perMember = units.full() - 1L;
    int start = units.rank(unit, 0);
    long endCell = perMember * (end - start);
    for (long cell = perMember * (first - start); cell < endCell; ) {
      int distance = (int) (cell / units.size()) + 1;
      long before = (distance - 1L) * units.size();
      long last = Math.min(endCell, before + units.size());
      Stretches held = units.held(holding, (unit + distance) % units.full());
      cells(fetched, held, units.size(), cell - before, last - before);
      cell = last;
    }
    int from = Math.min(first - start, units.width());
    int to = Math.min(end - start, units.width());
    if (from == to || units.rest() == 0) {
      return fetched;
    }
    Stretches rest = units.heldByRest(holding, units.runOf(unit), none());
    return cells(fetched, rest, units.width(), from, to);
  }

  private Stretches fetchedByRest(Units units, Holding holding, int first, int end) {
    Stretches fetched = none();
    for (int run = 0; run < units.runs(); run++) {
      int start = units.restStart() + run * units.width();
      int from = Math.clamp(first - start, 0, units.width());
      int to = Math.clamp(end - start, 0, units.width());
      for (int unit = run; from < to && unit < units.full(); unit += units.runs()) {
        cells(fetched, units.held(holding, unit), units.width(), from, to);
      }
    }
    return fetched;
  }

  /// Adds some of the cells into which elements are cut.
  private Stretches cells(Stretches to, Stretches held, int cells, long first, long end) {
    Shares cut = Shares.atCacheLines(held.elements(), cells, request.dtype().bytes());
    return to.add(held, cut.start((int) first), cut.start((int) end));
  }

  private Stretches none() {
    return new Stretches(joins);
  }
}
