package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// Send to the next rank by one message.
///
/// One message deep; a rank sends `S` bytes. In place what arrives goes through scratch.
public final class MessageSendReceive extends PlannedAlgorithm {
  /// Makes the algorithm.
  public MessageSendReceive() {
    super("message-send-receive", CollectiveKind.SEND_RECEIVE);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Optional.empty();
  }

  @Override
  Plan plan(CollectiveRequest request) {
    boolean staged = request.inPlace() && request.ranks() > 1;
    return Plan.of(rank -> steps(request, rank))
        .withScratch(_ -> staged ? request.total() : 0)
        .withAlike(_ -> 0);
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int ranks = request.ranks();
    long elements = request.total();
    Range own = input(rank, 0, 0, elements);
    Range result = output(rank, 0, elements);
    if (ranks == 1) {
      if (!request.inPlace()) {
        steps.copy(own, result);
      }
      return steps;
    }
    Range got = request.inPlace() ? scratch(rank, 0, elements) : result;
    steps.receive(Math.floorMod(rank - 1, ranks), got);
    steps.send((rank + 1) % ranks, own);
    if (request.inPlace()) {
      steps.copy(got, result);
    }
    return steps;
  }
}
