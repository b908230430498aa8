package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READ;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Partners;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// Send to chosen ranks in memory that all ranks share: every rank reads the elements that are for
/// it where they lie.
///
/// Two signals deep. A rank copies `S` bytes; in place it does so twice, by way of scratch, since
/// its own elements must stand until they have been read.
public final class DirectSendReceive extends PlannedAlgorithm {
  /// Makes the algorithm.
  public DirectSendReceive() {
    super("direct-send-receive", CollectiveKind.SEND_RECEIVE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.noPeerMemory(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank))
        .withScratch(rank -> Parts.swaps(request, rank) ? request.total() : 0)
        .withAlike(rank -> request.partners().isShift() ? 0 : rank);
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int to = request.partners().destination(rank);
    int from = request.partners().source(rank);
    long elements = request.total();
    Range result = output(rank, 0, elements);
    if (elements == 0 || (to == rank && request.inPlace())) {
      return steps;
    }
    if (to == rank) {
      steps.copy(input(rank, 0, 0, elements), result);
      return steps;
    }
    Range got = Parts.swaps(request, rank) ? scratch(rank, 0, elements) : result;
    if (to != Partners.NOBODY) {
      steps.signal(to, READY);
    }
    if (from != Partners.NOBODY) {
      steps.await(from, READY);
      steps.copy(input(from, 0, 0, elements), got);
      steps.signal(from, READ);
    }
    if (to != Partners.NOBODY) {
      steps.await(to, READ);
    }
    if (!got.equals(result)) {
      steps.copy(got, result);
    }
    return steps;
  }
}
