package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.List;

/// All-gather in which a rank sends what it has to the rank as far before it as it has parts, and
/// gets as many from as far after it (Bruck, Ho, Kipnis, Upfal and Weathersby, 1997), each part
/// straight to its place.
///
/// `ceil(log2 P)` messages deep, some in two pieces where parts wrap around; a rank sends `P-1`
/// parts. No scratch.
final class BruckAllGather extends PlannedAlgorithm {
  /// Makes the algorithm.
  BruckAllGather() {
    super("bruck-all-gather", CollectiveKind.ALL_GATHER);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    return Plan.of(rank -> steps(request, rank));
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int ranks = request.ranks();
    Range own = output(rank, request.displacement(rank), request.counts().get(rank));
    if (!request.inPlace()) {
      steps.copy(input(rank, 0, 0, own.elements()), own);
    }
    for (int held = 1; held < ranks; held *= 2) {
      int number = Math.min(held, ranks - held);
      int after = (rank + held) % ranks;
      for (Range part : parts(request, rank, after, number)) {
        steps.receive(after, part);
      }
      for (Range part : parts(request, rank, rank, number)) {
        steps.send(Math.floorMod(rank - held, ranks), part);
      }
    }
    return steps;
  }

  /// Returns consecutive parts, as one range or, where they wrap around, two.
  private static List<Range> parts(CollectiveRequest request, int rank, int first, int number) {
    int ranks = request.ranks();
    int end = Math.min(ranks, first + number);
    return List.of(
        stretch(request, rank, first, end), stretch(request, rank, 0, first + number - end));
  }

  private static Range stretch(CollectiveRequest request, int rank, int first, int end) {
    long start = request.counts().start(first);
    return output(rank, start, request.counts().start(end) - start);
  }
}
