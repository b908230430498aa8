package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Reduce-scatter by recursive halving: ranks whose numbers differ in one bit exchange halves of
/// the parts that they hold and keep the other half, joined.
///
/// For numbers of ranks that are powers of two. By distance doubling (nearest partner first) it
/// realises the lane tree T where every rank brings one subtree and the ranks' order is the lanes';
/// its halves are every other part, so parts are first copied into such an order. By distance
/// halving (farthest first) it joins rank `r` with `r + P/2` first: relaxed mode only, and nothing
/// is copied. `log2 P` messages deep; a rank sends `(P-1)/P * S` bytes. Scratch: `2 S`.
final class HalvingReduceScatter extends PlannedAlgorithm {
  private final boolean nearestFirst;

  private HalvingReduceScatter(String name, boolean nearestFirst) {
    super(name, CollectiveKind.REDUCE_SCATTER);
    this.nearestFirst = nearestFirst;
  }

  /// Returns the algorithm that takes the nearest partner first.
  public static HalvingReduceScatter byDistanceDoubling() {
    return new HalvingReduceScatter("distance-doubling-reduce-scatter", true);
  }

  /// Returns the algorithm that takes the farthest partner first.
  public static HalvingReduceScatter byDistanceHalving() {
    return new HalvingReduceScatter("distance-halving-reduce-scatter", false);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    if (!nearestFirst) {
      Optional<String> tree =
          Parts.notTheLaneTree(request, "recursive halving by distance halving");
      if (tree.isPresent()) {
        return tree;
      }
    }
    return Parts.notAPowerOfTwo(request).or(() -> Parts.notInRankOrder(request));
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Cut order = order(request);
    return Plan.of(rank -> steps(request, order, rank))
        .withScratch(_ -> request.ranks() == 1 ? 0 : 2 * request.total())
        .withAlike(
            rank -> request.counts().areEqual() && request.lanes().isOnePerRank() ? 0 : rank);
  }

  /// Returns the parts in the order in which they are halved.
  private Cut order(CollectiveRequest request) {
    int ranks = request.ranks();
    List<Long> lengths = new ArrayList<>();
    for (int place = 0; place < ranks; place++) {
      lengths.add(request.counts().get(part(ranks, place)));
    }
    return Cut.of(Counts.of(lengths));
  }

  /// Returns the part at a place of the order: bits are reversed where the lowest is halved first.
  private int part(int ranks, int place) {
    return nearestFirst && ranks > 1
        ? Integer.reverse(place) >>> (Integer.numberOfLeadingZeros(ranks) + 1)
        : place;
  }

  private Steps steps(CollectiveRequest request, Cut order, int rank) {
    Steps steps = new Steps();
    int ranks = request.ranks();
    Range result = output(rank, 0, request.counts().get(rank));
    boolean ordered = nearestFirst || request.inputs(rank) > 1 || ranks == 1;
    if (ranks == 1) {
      steps.reduce(result, Parts.chain(request, rank, 0, result.elements()));
    } else if (ordered) {
      takeTogether(steps, request, order, rank);
    }
    int first = 0;
    for (int size = ranks / 2; size > 0; size /= 2) {
      int bit = nearestFirst ? ranks / 2 / size : size;
      int kept = (rank & bit) == 0 ? first : first + size;
      int given = (rank & bit) == 0 ? first + size : first;
      Range own = held(order, rank, kept, size);
      Range arrival = scratch(rank, request.total(), own.elements());
      Range source = ordered ? own : input(rank, 0, own.offset(), own.elements());
      Range gift = held(order, rank, given, size);
      steps.receive(rank ^ bit, arrival);
      steps.send(rank ^ bit, ordered ? gift : input(rank, 0, gift.offset(), gift.elements()));
      steps.reduce(
          size == 1 ? result : own,
          new JoinTree.Node(new JoinTree.Leaf(source), new JoinTree.Leaf(arrival)));
      ordered = true;
      first = kept;
    }
    steps.finish(request, result);
    return steps;
  }

  /// Puts a rank's contribution into its scratch, part by part in order.
  private void takeTogether(Steps steps, CollectiveRequest request, Cut order, int rank) {
    for (int place = 0; place < request.ranks(); place++) {
      long start = request.displacement(part(request.ranks(), place));
      Range to = held(order, rank, place, 1);
      if (request.inputs(rank) == 1) {
        steps.copy(input(rank, 0, start, to.elements()), to);
      } else {
        steps.reduce(to, Parts.chain(request, rank, start, to.elements()));
      }
    }
  }

  private static Range held(Cut order, int rank, int first, int size) {
    int last = first + size - 1;
    long start = order.start(first);
    return scratch(rank, start, order.start(last) + order.length(last) - start);
  }
}
