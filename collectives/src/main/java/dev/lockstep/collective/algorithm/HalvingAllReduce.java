package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Space;
import java.util.Optional;

/// All-reduce by recursive halving and doubling: ranks whose numbers differ in one bit exchange
/// halves of what they hold, and gather the results in reverse order.
///
/// By distance doubling (nearest partner first) it realises the lane tree T where every rank brings
/// one subtree and the ranks' order is the lanes'. By distance halving (farthest first) it realises
/// a tree that joins rank `r` with `r + P/2` first: relaxed mode only; what is left to be gathered
/// over the longest distance is then the least. `2 log2 P` messages deep where `P` is a power of
/// two and two more for each further one in `P`'s binary form elsewhere; a rank sends `2(P-1)/P *
/// S` bytes, up to `4 S` elsewhere. Scratch: `S/2`.
final class HalvingAllReduce extends PlannedAlgorithm {
  private final boolean nearestFirst;

  private HalvingAllReduce(String name, boolean nearestFirst) {
    super(name, CollectiveKind.ALL_REDUCE);
    this.nearestFirst = nearestFirst;
  }

  /// Returns the algorithm that takes the nearest partner first.
  public static HalvingAllReduce byDistanceDoubling() {
    return new HalvingAllReduce("distance-doubling-all-reduce", true);
  }

  /// Returns the algorithm that takes the farthest partner first.
  public static HalvingAllReduce byDistanceHalving() {
    return new HalvingAllReduce("distance-halving-all-reduce", false);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return nearestFirst
        ? Parts.notInRankOrder(request)
        : Parts.notTheLaneTree(request, "recursive halving by distance halving")
            .or(() -> Parts.notInRankOrder(request));
  }

  @Override
  Plan plan(CollectiveRequest request) {
    int parts = Integer.highestOneBit(request.ranks());
    Cut cut = Cut.evenly(request, parts);
    return Plan.of(rank -> steps(request, cut, rank))
        .withScratch(_ -> parts == 1 ? 0 : Butterfly.scratchElements(cut, parts))
        .withAlike(rank -> alike(request, cut, parts, rank));
  }

  private Steps steps(CollectiveRequest request, Cut cut, int rank) {
    Steps steps = new Steps();
    Space source = Parts.joinOwn(steps, request, rank);
    Group all = Group.all(request.ranks(), rank);
    new Butterfly(request, all, cut, true, nearestFirst).allReduce(steps, source);
    return steps;
  }

  /// Within a block all ranks are alike if all parts are of one size.
  private static int alike(CollectiveRequest request, Cut cut, int parts, int rank) {
    boolean even = cut.length(0) * parts == request.total() && request.lanes().isOnePerRank();
    return even ? new Blocks(request.ranks()).of(rank).start() : rank;
  }
}
