package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import java.util.Optional;

/// Barrier by signals in memory that all ranks share: among few ranks every one tells every other
/// one, among more by the dissemination of [MessageBarrier].
///
/// One signal deep for up to 8 ranks, `ceil(log2 P)` for more. A rank that waits for others may
/// have to wait for their turn on a core, once for every signal of depth. The peers of all rounds
/// differ, so one slot serves them all.
public final class SignalBarrier extends PlannedAlgorithm {
  /// Seven signals and as many looks take about as long as the hop that they save.
  private static final int FEW_RANKS = 8;

  /// Makes the algorithm.
  public SignalBarrier() {
    super("signal-barrier", CollectiveKind.BARRIER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.noPeerMemory(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request.ranks(), rank)).withAlike(_ -> 0);
  }

  private static Steps steps(int ranks, int rank) {
    Steps steps = new Steps();
    if (ranks <= FEW_RANKS) {
      int[] peers = Parts.peers(rank, ranks);
      for (int peer : peers) {
        steps.signal(peer, Parts.HERE);
      }
      for (int peer : peers) {
        steps.await(peer, Parts.HERE);
      }
      return steps;
    }
    for (int distance = 1; distance < ranks; distance <<= 1) {
      steps.signal((rank + distance) % ranks, Parts.HERE);
      steps.await(Math.floorMod(rank - distance, ranks), Parts.HERE);
    }
    return steps;
  }
}
