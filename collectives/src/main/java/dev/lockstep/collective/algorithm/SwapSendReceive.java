package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.SWAPPED;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import java.util.Optional;

/// Send to the next rank in place between two ranks that share memory: what each sends to the other
/// is swapped, one half of it by each rank.
///
/// Two signals deep; a rank reads and writes `S` bytes, and needs no scratch.
public final class SwapSendReceive extends PlannedAlgorithm {
  /// Makes the algorithm.
  public SwapSendReceive() {
    super("swap-send-receive", CollectiveKind.SEND_RECEIVE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    if (!request.inPlace()) {
      return Optional.of("what is sent must stand");
    }
    boolean isPair =
        request.ranks() == 2
            && request.partners().destination(0) == 1
            && request.partners().destination(1) == 0;
    return isPair ? Parts.noPeerMemory(request) : Optional.of("only two ranks send to each other");
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Cut halves = Cut.evenly(request, 2);
    return Plan.of(rank -> steps(halves, rank));
  }

  private static Steps steps(Cut halves, int rank) {
    Steps steps = new Steps();
    int other = 1 - rank;
    long start = halves.start(rank);
    long length = halves.length(rank);
    if (halves.length(other) > 0) {
      steps.signal(other, READY);
    }
    if (length > 0) {
      steps.await(other, READY);
      steps.swap(output(rank, start, length), output(other, start, length));
      steps.signal(other, SWAPPED);
    }
    if (halves.length(other) > 0) {
      steps.await(other, SWAPPED);
    }
    return steps;
  }
}
