package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.schedule.Shares;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// How a reduction is dealt out to the ranks of groups within groups.
///
/// Within a group of a level the elements that a member holds are cut into as many pieces as a full
/// group has units (groups of the level below, or ranks); unit `u` of a group gets piece `u`, and
/// in a smaller last group of `n` units the pieces `u`, `u + n`, … . So every piece of the
/// outermost level has one holder in each group, and these form a column.
///
/// Everything is computed from a rank's number: no time or memory in proportion to the ranks.
final class Hierarchy {
  /// A piece, by its number on each level from the innermost out.
  ///
  /// @param path its numbers
  /// @param start first element
  /// @param elements how many
  record Piece(List<Integer> path, long start, long elements) {}

  /// The fewest units of cut size in a piece for which pieces are cut coarsely.
  private static final int FEWEST_UNITS = 16;

  private final CollectiveRequest request;
  private final int ranks;
  private final int[] sizes; // ranks in a full group, from single ranks to the outermost level

  Hierarchy(CollectiveRequest request) {
    this.request = request;
    this.ranks = request.ranks();
    List<Integer> levels = levels(request);
    this.sizes = new int[levels.size() + 1];
    sizes[0] = 1;
    for (int level = 1; level < sizes.length; level++) {
      sizes[level] = levels.get(level - 1);
    }
  }

  /// Returns the group sizes that may be used. Groups are joined by T if they are subtrees of T
  /// over the ranks; so in same-bits mode groups are taken smaller, to a power of two.
  static List<Integer> levels(CollectiveRequest request) {
    boolean joinsByTree = request.kind().reduces() && request.mode() == Mode.SAME_BITS;
    List<Integer> levels = new ArrayList<>();
    for (int size : request.topology().levels()) {
      int taken = joinsByTree ? Integer.lowestOneBit(size) : size;
      if (taken > (levels.isEmpty() ? 1 : levels.getLast())) {
        levels.add(taken);
      }
    }
    return levels;
  }

  /// Returns why there is nothing to go by, if all ranks are equally near.
  static Optional<String> noLevels(CollectiveRequest request) {
    return request.topology().levels().isEmpty()
        ? Optional.of("all ranks are equally near")
        : Optional.empty();
  }

  /// Returns whether turning the outermost groups round by one leaves who is near whom: if all of
  /// them are full.
  static boolean turns(CollectiveRequest request) {
    List<Integer> levels = request.topology().levels();
    return !levels.isEmpty() && request.ranks() % levels.getLast() == 0;
  }

  /// Returns why contributions cannot be joined group by group.
  static Optional<String> noGroups(CollectiveRequest request) {
    return noLevels(request)
        .or(
            () ->
                levels(request).isEmpty()
                    ? Optional.of("no group of ranks is a subtree of the lane tree")
                    : Optional.empty())
        .or(() -> Parts.notInRankOrder(request));
  }

  /// Returns the number of levels.
  int levels() {
    return sizes.length - 1;
  }

  /// Returns the number of outermost groups.
  int groups() {
    return Math.ceilDiv(ranks, sizes[levels()]);
  }

  /// Returns the outermost group in which a rank is.
  int group(int rank) {
    return rank / sizes[levels()];
  }

  /// Returns the first rank of an outermost group; the number of ranks after the last one.
  int start(int group) {
    return (int) Math.min(ranks, (long) group * sizes[levels()]);
  }

  /// Returns the number of ranks in a full group of a level; 1 on level 0.
  int size(int level) {
    return sizes[level];
  }

  /// Returns the number of units in a full group of a level, from 1 on.
  int fullUnits(int level) {
    return sizes[level] / sizes[level - 1];
  }

  /// Returns the number of units in the group of a level that starts at a rank.
  private int units(int level, int start) {
    int end = Math.min(ranks, start + sizes[level]);
    return Math.ceilDiv(end - start, sizes[level - 1]);
  }

  /// Returns which rank holds a piece of a level in the group of that level that starts at a rank.
  private int holder(int level, int start, List<Integer> path) {
    int at = start;
    for (int inner = level; inner > 0; inner--) {
      at += path.get(inner - 1) % units(inner, at) * sizes[inner - 1];
    }
    return at;
  }

  /// Returns the ranks that exchange a piece of the level below within a rank's group of a level.
  Group column(int level, int rank, Piece below) {
    int start = rank - rank % sizes[level];
    int me = (rank - start) / sizes[level - 1];
    return new Group(
        units(level, start),
        me,
        unit -> holder(level - 1, start + unit * sizes[level - 1], below.path()));
  }

  /// Returns the ranks that hold a piece of the outermost level, one in each group.
  Group column(int rank, Piece piece) {
    int size = sizes[levels()];
    return new Group(groups(), rank / size, group -> holder(levels(), group * size, piece.path()));
  }

  /// Returns how a piece of the level below is cut on a level.
  Shares cut(int level, Piece below) {
    Shares fine = Shares.atCacheLines(below.elements(), fullUnits(level), request.dtype().bytes());
    boolean coarsely =
        level == levels() && below.elements() / fullUnits(level) >= FEWEST_UNITS * coarseGrain();
    return coarsely ? new Shares(below.elements(), fullUnits(level), coarseGrain()) : fine;
  }

  /// Returns the size in which the outermost pieces are cut where they are large: so they can be
  /// halved evenly as often as their columns ask for.
  private long coarseGrain() {
    long line = Shares.atCacheLines(0, 1, request.dtype().bytes()).grain();
    return line * Integer.highestOneBit(groups());
  }

  /// Returns a piece within a piece of the level below.
  Piece piece(Piece below, Shares cut, int number) {
    List<Integer> path = new ArrayList<>(below.path());
    path.add(number);
    return new Piece(path, below.start() + cut.start(number), cut.length(number));
  }

  /// Returns everything, as the piece below the innermost level.
  Piece whole() {
    return new Piece(List.of(), 0, request.total());
  }

  /// Returns the lowest rank like this one, if it is known.
  ///
  /// @param halving whether columns halve what they reduce
  int alike(int rank, boolean halving) {
    int like = rank;
    Piece piece = whole();
    boolean even = request.lanes().isOnePerRank();
    for (int level = 1; even && level <= levels(); level++) {
      Shares cut = cut(level, piece);
      boolean halved = cut.grain() >= coarseGrain() && piece.elements() % coarseGrain() == 0;
      if (level == levels() && (halving ? halved : Integer.bitCount(groups()) == 1)) {
        like = likeInColumn(like);
      }
      even = cut.isEven();
      if (even && ranks % sizes[level] == 0) {
        // Turning the units of every group of this level round by one changes nothing.
        like -= like / sizes[level - 1] % fullUnits(level) * sizes[level - 1];
      }
      piece = piece(piece, cut, 0);
    }
    return like;
  }

  /// Flipping one bit in the numbers of all members of a block, and the same bit in those of the
  /// other blocks, changes nothing, unless it moves a last group that is smaller than the rest.
  private int likeInColumn(int rank) {
    int size = sizes[levels()];
    Blocks blocks = new Blocks(groups());
    int group = rank / size;
    int member = group - blocks.of(group).start();
    int fixed = ranks % size == 0 ? 0 : (1 << blocks.of(groups() - 1).log()) - 1;
    return rank - (member - (member & fixed)) * size;
  }
}
