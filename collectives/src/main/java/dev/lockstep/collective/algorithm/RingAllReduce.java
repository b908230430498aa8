package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.contributes;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// All-reduce by messages to the next rank only: ring reduce-scatter, then ring all-gather
/// (Patarasuk and Yuan, 2009), whole shares at a time or in chunks.
///
/// Realises a chain over the ranks, rotated from share to share: relaxed mode only. `2(P-1)`
/// messages deep; a rank sends `2(P-1)/P * S` bytes, whatever it contributes. No scratch.
public final class RingAllReduce extends PlannedAlgorithm {
  private final long chunkBytes;
  private final long smallerBytes;

  /// Makes the algorithm that sends whole shares.
  public RingAllReduce() {
    super("ring-all-reduce", CollectiveKind.ALL_REDUCE);
    this.chunkBytes = 0;
    this.smallerBytes = 0;
  }

  /// Makes the algorithm that sends shares in chunks.
  ///
  /// @param chunkBytes most bytes of a message, as long as a share has not too many chunks
  public RingAllReduce(long chunkBytes) {
    this(chunkBytes, 0);
  }

  /// Makes the algorithm that sends shares in chunks and is redundant where smaller ones are the
  /// same.
  ///
  /// @param chunkBytes most bytes of a message, as long as a share has not too many chunks
  /// @param smallerBytes another size, of an algorithm that is tried too; 0 if there is none
  RingAllReduce(long chunkBytes, long smallerBytes) {
    super("ring-all-reduce/" + chunkBytes, CollectiveKind.ALL_REDUCE);
    this.chunkBytes = chunkBytes;
    this.smallerBytes = smallerBytes;
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.notTheLaneTree(request, "a ring");
  }

  @Override
  public Optional<String> redundancy(CollectiveRequest request) {
    return chunks(request).sameAs(smallerBytes, request.ranks() - 1);
  }

  private Chunks chunks(CollectiveRequest request) {
    return new Chunks(request, Cut.evenly(request, request.ranks()), chunkBytes);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Ring ring = new Ring(request, chunks(request));
    return Plan.of(rank -> steps(request, ring, rank))
        .withAlike(rank -> Parts.alikeByRotation(request, rank));
  }

  private static Steps steps(CollectiveRequest request, Ring ring, int rank) {
    Steps steps = new Steps();
    joinOwn(steps, request, rank);
    for (int hop = 0; hop < request.ranks() - 1; hop++) {
      reduceScatter(steps, ring, rank, hop);
    }
    Range own = share(ring, rank, rank);
    if (request.ranks() > 1) {
      steps.finish(request, own);
    }
    ring.allGather(steps, rank, own, part -> share(ring, rank, part));
    return steps;
  }

  /// Puts the rank's own contribution into its output.
  private static void joinOwn(Steps steps, CollectiveRequest request, int rank) {
    Range whole = output(rank, 0, request.total());
    if (request.ranks() == 1) {
      steps.reduce(
          whole, Parts.laneTree(request, (_, index) -> input(rank, index, 0, whole.elements())));
      steps.finish(request, whole);
    } else if (request.inputs(rank) > 1) {
      steps.reduce(whole, Parts.chain(request, rank, 0, whole.elements()));
    } else if (contributes(request, rank) && !request.inPlace()) {
      steps.copy(input(rank, 0, 0, whole.elements()), whole);
    }
  }

  private static void reduceScatter(Steps steps, Ring ring, int rank, int hop) {
    int leaving = ring.leaving(rank, hop);
    int coming = ring.coming(rank, hop);
    boolean sends = ring.holdsAnything(rank, hop);
    boolean receives = ring.holdsAnything(ring.before(rank), hop);
    for (int chunk = 0;
        chunk < Math.max(ring.chunks().number(leaving), ring.chunks().number(coming));
        chunk++) {
      if (sends && chunk < ring.chunks().number(leaving)) {
        steps.send(ring.next(rank), ring.chunks().of(share(ring, rank, leaving), leaving, chunk));
      }
      if (receives && chunk < ring.chunks().number(coming)) {
        Range into = ring.chunks().of(share(ring, rank, coming), coming, chunk);
        if (contributes(ring.request(), rank)) {
          steps.receiveReduce(ring.before(rank), into);
        } else {
          steps.receive(ring.before(rank), into);
        }
      }
    }
  }

  private static Range share(Ring ring, int rank, int part) {
    return output(rank, ring.parts().start(part), ring.parts().length(part));
  }
}
