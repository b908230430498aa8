package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Barrier by signals in memory that all ranks share: the dissemination of [MessageBarrier].
///
/// `ceil(log2 P)` signals deep. The peers of all rounds differ, so one slot serves them all.
public final class SignalBarrier implements Algorithm {
  private static final int HERE = 3;

  /// Makes the algorithm.
  public SignalBarrier() {}

  @Override
  public String name() {
    return "signal-barrier";
  }

  @Override
  public Optional<String> refusal(CollectiveRequest request) {
    return Parts.refuseOtherKinds(request, CollectiveKind.BARRIER)
        .or(() -> Parts.refuseWithoutPeerMemory(request));
  }

  @Override
  public Schedule schedule(CollectiveRequest request) {
    Parts.check(this, request);
    return Schedule.of(
        name(), request, rank -> steps(request.ranks(), rank), _ -> List.of(), _ -> 0);
  }

  private static List<Step> steps(int ranks, int rank) {
    List<Step> steps = new ArrayList<>();
    for (int distance = 1; distance < ranks; distance <<= 1) {
      steps.add(new Step.Signal((rank + distance) % ranks, HERE));
      steps.add(new Step.Await(Math.floorMod(rank - distance, ranks), HERE));
    }
    return steps;
  }
}
