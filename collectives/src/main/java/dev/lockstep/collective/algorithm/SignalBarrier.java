package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import java.util.Optional;

/// Barrier by signals in memory that all ranks share: the dissemination of [MessageBarrier].
///
/// `ceil(log2 P)` signals deep. The peers of all rounds differ, so one slot serves them all.
public final class SignalBarrier extends PlannedAlgorithm {
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
    for (int distance = 1; distance < ranks; distance <<= 1) {
      steps.signal((rank + distance) % ranks, Parts.HERE);
      steps.await(Math.floorMod(rank - distance, ranks), Parts.HERE);
    }
    return steps;
  }
}
