package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.READ;
import static dev.lockstep.collective.algorithm.Parts.READY;
import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// Send to the next rank in memory that all ranks share: every rank reads the elements of the one
/// before where they lie.
///
/// Two signals deep. A rank copies `S` bytes; in place it does so twice, by way of scratch, since
/// its own elements must stand until the next rank has read them.
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
    boolean staged = request.inPlace() && request.ranks() > 1;
    return Plan.of(rank -> steps(request, rank))
        .withScratch(_ -> staged ? request.total() : 0)
        .withAlike(_ -> 0);
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int ranks = request.ranks();
    long elements = request.total();
    if (elements == 0 || (ranks == 1 && request.inPlace())) {
      return steps;
    }
    if (ranks == 1) {
      steps.copy(input(rank, 0, 0, elements), output(rank, 0, elements));
      return steps;
    }
    int before = Math.floorMod(rank - 1, ranks);
    int next = (rank + 1) % ranks;
    Range result = output(rank, 0, elements);
    Range got = request.inPlace() ? scratch(rank, 0, elements) : result;
    steps.signal(next, READY);
    steps.await(before, READY);
    steps.copy(input(before, 0, 0, elements), got);
    steps.signal(before, READ);
    steps.await(next, READ);
    if (request.inPlace()) {
      steps.copy(got, result);
    }
    return steps;
  }
}
