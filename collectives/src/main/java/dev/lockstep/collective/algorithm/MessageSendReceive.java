package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Partners;
import dev.lockstep.collective.schedule.Range;

/// Send to chosen ranks, each by one message.
///
/// One message deep; a rank sends `S` bytes. In place what arrives goes through scratch.
public final class MessageSendReceive extends PlannedAlgorithm {
  /// Makes the algorithm.
  public MessageSendReceive() {
    super("message-send-receive", CollectiveKind.SEND_RECEIVE);
  }

  @Override
  public boolean isBrief() {
    return true;
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
    Range own = input(rank, 0, 0, elements);
    Range result = output(rank, 0, elements);
    if (to == rank) {
      if (!request.inPlace()) {
        steps.copy(own, result);
      }
      return steps;
    }
    Range got = Parts.swaps(request, rank) ? scratch(rank, 0, elements) : result;
    if (from != Partners.NOBODY) {
      steps.receive(from, got);
    }
    if (to != Partners.NOBODY) {
      steps.send(to, own);
    }
    if (!got.equals(result)) {
      steps.copy(got, result);
    }
    return steps;
  }
}
