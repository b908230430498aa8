package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Barrier by messages of no bytes (Hensgen, Finkel and Manber's dissemination, 1988): in round `k`
/// rank `r` tells `r + 2^k` and hears from `r - 2^k`.
///
/// `ceil(log2 P)` messages deep; as many are sent by every rank.
public final class MessageBarrier implements Algorithm {
  /// Makes the algorithm.
  public MessageBarrier() {}

  @Override
  public String name() {
    return "message-barrier";
  }

  @Override
  public Optional<String> refusal(CollectiveRequest request) {
    return Parts.refuseOtherKinds(request, CollectiveKind.BARRIER);
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
      int before = Math.floorMod(rank - distance, ranks);
      steps.add(new Step.Send((rank + distance) % ranks, Parts.output(rank, 0, 0)));
      steps.add(new Step.Receive(before, Parts.output(rank, 0, 0)));
    }
    return steps;
  }
}
