package dev.lockstep.train;

import dev.lockstep.tensor.DType;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StateShards.Piece;
import dev.lockstep.train.parallel.FlatLayout;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Function;

/// Which elements of a flat layout each rank of the data axis holds: some ranges, one after another
/// in its memory.
final class FlatRanges {
  private final boolean whole;
  private final List<List<Range>> byRank;

  private FlatRanges(boolean whole, List<List<Range>> byRank) {
    this.whole = whole;
    this.byRank = byRank;
  }

  /// Elements `[start, end)` of the layout.
  record Range(long start, long end) {
    long elements() {
      return end - start;
    }
  }

  /// Receives a run of elements that lie side by side.
  interface Run {
    /// Receives one run.
    ///
    /// @param held first element in the rank's memory
    /// @param from first element in the layout
    void at(long held, long from, long elements);
  }

  /// Every rank holds everything.
  static FlatRanges whole(FlatLayout layout, int ranks) {
    return new FlatRanges(
        true, Collections.nCopies(ranks, List.of(new Range(0, layout.elements()))));
  }

  /// Every rank holds the tensors of its shard's pieces.
  ///
  /// @param names names of the tensors that belong to a parameter; each makes a range of its own
  static FlatRanges of(
      FlatLayout layout, StateShards shards, List<Function<Parameter, String>> names) {
    List<List<Range>> byRank = new ArrayList<>();
    for (int rank = 0; rank < shards.ranks(); rank++) {
      List<Range> ranges = new ArrayList<>();
      for (Function<Parameter, String> name : names) {
        for (int unit = 0; unit < shards.units().size(); unit++) {
          List<Piece> pieces = shards.pieces(rank, unit);
          if (!pieces.isEmpty()) {
            Piece first = pieces.getFirst();
            Piece last = pieces.getLast();
            ranges.add(
                new Range(
                    start(layout, name.apply(first.parameter())) + first.start(),
                    start(layout, name.apply(last.parameter())) + last.end()));
          }
        }
      }
      byRank.add(List.copyOf(ranges));
    }
    return new FlatRanges(false, byRank);
  }

  /// Every rank holds its shard of each unit, gaps between tensors included: a unit is its ranks'
  /// ranges one after another.
  ///
  /// @param layout of the parameters themselves
  static FlatRanges ofUnits(FlatLayout layout, StateShards shards) {
    List<List<Range>> byRank = new ArrayList<>();
    for (int rank = 0; rank < shards.ranks(); rank++) {
      List<Range> ranges = new ArrayList<>();
      for (int unit = 0; unit < shards.units().size(); unit++) {
        List<Long> borders = borders(layout, shards, unit);
        ranges.add(new Range(borders.get(rank), borders.get(rank + 1)));
      }
      byRank.add(List.copyOf(ranges));
    }
    return new FlatRanges(false, byRank);
  }

  /// Returns where each rank's shard of a unit starts in a layout of parameters, and the end of the
  /// last.
  static List<Long> borders(FlatLayout layout, StateShards shards, int unit) {
    long end =
        unit + 1 < shards.units().size()
            ? start(layout, shards.units().get(unit + 1).getFirst().name())
            : layout.elements();
    List<Long> borders = new ArrayList<>();
    borders.add(start(layout, shards.units().get(unit).getFirst().name()));
    for (int rank = 1; rank < shards.ranks(); rank++) {
      long start = end;
      for (int next = rank; next < shards.ranks() && start == end; next++) {
        List<Piece> pieces = shards.pieces(next, unit);
        if (!pieces.isEmpty()) {
          Piece first = pieces.getFirst();
          start = start(layout, first.parameter().name()) + first.start();
        }
      }
      borders.add(start);
    }
    borders.add(end);
    return borders;
  }

  private static long start(FlatLayout layout, String name) {
    return layout.offset(name) / DType.F32.bytes();
  }

  boolean isWhole() {
    return whole;
  }

  /// Returns the elements that a rank holds.
  long elements(int rank) {
    return byRank.get(rank).stream().mapToLong(Range::elements).sum();
  }

  /// Returns the most elements that a rank holds.
  long longest() {
    long longest = 0;
    for (int rank = 0; rank < byRank.size(); rank++) {
      longest = Math.max(longest, elements(rank));
    }
    return longest;
  }

  /// Visits what a rank holds of elements `[start, start + elements)` of the layout.
  void parts(int rank, long start, long elements, Run run) {
    long held = 0;
    for (Range range : byRank.get(rank)) {
      long from = Math.max(start, range.start);
      long end = Math.min(start + elements, range.end);
      if (from < end) {
        run.at(held + from - range.start, from, end - from);
      }
      held += range.elements();
    }
  }
}
