package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// All-gather by exchanges of everything between ranks whose numbers differ in one bit, nearest
/// first.
///
/// For numbers of ranks that are powers of two. `log2 P` messages deep; a rank sends all parts but
/// its partners', once. No scratch.
final class RecursiveDoublingAllGather extends PlannedAlgorithm {
  /// Makes the algorithm.
  RecursiveDoublingAllGather() {
    super("recursive-doubling-all-gather", CollectiveKind.ALL_GATHER);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return Parts.notAPowerOfTwo(request);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank))
        .withAlike(rank -> request.counts().areEqual() ? 0 : rank);
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    Range own = output(rank, request.displacement(rank), request.counts().get(rank));
    if (!request.inPlace()) {
      steps.copy(input(rank, 0, 0, own.elements()), own);
    }
    for (int bit = 1; bit < request.ranks(); bit <<= 1) {
      int held = rank & -bit;
      steps.receive(rank ^ bit, parts(request, rank, held ^ bit, bit));
      steps.send(rank ^ bit, parts(request, rank, held, bit));
    }
    return steps;
  }

  private static Range parts(CollectiveRequest request, int rank, int first, int number) {
    long start = request.counts().start(first);
    return output(rank, start, request.counts().start(first + number) - start);
  }
}
