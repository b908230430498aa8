package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.algorithm.Hierarchy.Piece;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Shares;
import dev.lockstep.collective.schedule.Space;
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
final class HierarchicalAllReduce extends PlannedAlgorithm {
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
    return Hierarchy.noGroups(request);
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
    Space output = new Space.Output();
    GroupPieces pieces = new GroupPieces(hierarchy, rank);
    List<List<Piece>> held = pieces.held();
    for (int level = 1; level <= hierarchy.levels(); level++) {
      for (Piece piece : held.get(level - 1)) {
        pieces.exchange(steps, request, level, piece, space, output);
      }
      space = output;
    }
    for (Piece piece : held.getLast()) {
      Group column = hierarchy.column(rank, piece);
      new Butterfly(request, column, cut(request, column, piece), halving, true)
          .allReduce(steps, space);
    }
    for (int level = hierarchy.levels(); level > 0; level--) {
      for (Piece piece : held.get(level - 1)) {
        pieces.gather(steps, level, piece, output, -1);
      }
    }
    return steps;
  }

  private Cut cut(CollectiveRequest request, Group column, Piece piece) {
    int parts = halving ? Integer.highestOneBit(column.size()) : 1;
    int bytes = request.dtype().bytes();
    return Cut.of(piece.start(), Shares.atCacheLines(piece.elements(), parts, bytes));
  }

  private long scratch(CollectiveRequest request, Hierarchy hierarchy, int rank) {
    GroupPieces pieces = new GroupPieces(hierarchy, rank);
    long most = pieces.arriving();
    for (Piece piece : pieces.held().getLast()) {
      Group column = hierarchy.column(rank, piece);
      int parts = halving ? Integer.highestOneBit(column.size()) : 1;
      Cut cut = cut(request, column, piece);
      most = Math.max(most, Butterfly.scratchElements(cut, parts));
    }
    return most;
  }
}
