package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;
import static dev.lockstep.collective.algorithm.Parts.scratch;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import java.util.Optional;

/// All-to-all in which elements travel by powers of two (Bruck, Ho, Kipnis, Upfal and Weathersby,
/// 1997): in round `k` a rank passes on everything that has to go a distance with bit `k` set.
///
/// For equal counts. `ceil(log2 P)` messages deep; a rank sends half its elements in each round,
/// having copied them together: for few bytes. Scratch: `S` per round.
final class BruckAllToAll extends PlannedAlgorithm {
  /// Makes the algorithm.
  BruckAllToAll() {
    super("bruck-all-to-all", CollectiveKind.ALL_TO_ALL);
  }

  @Override
  Optional<String> obstacle(CollectiveRequest request) {
    return request.counts().areEqual() ? Optional.empty() : Optional.of("counts differ");
  }

  @Override
  Plan plan(CollectiveRequest request) {
    int rounds = 32 - Integer.numberOfLeadingZeros(request.ranks() - 1);
    return Plan.of(rank -> steps(request, rank))
        .withScratch(_ -> rounds * 2L * most(request.ranks()) * request.counts().get(0))
        .withAlike(_ -> 0);
  }

  /// Returns how many ranks' elements are passed on in a round, at most.
  private static int most(int ranks) {
    return (ranks + 1) / 2;
  }

  private static Steps steps(CollectiveRequest request, int rank) {
    Steps steps = new Steps();
    int ranks = request.ranks();
    long part = request.counts().get(0);
    Range[] places = new Range[ranks]; // of what has to go each distance
    for (int distance = 0; distance < ranks; distance++) {
      places[distance] = input(rank, 0, (rank + distance) % ranks * part, part);
    }
    long used = 0;
    for (int bit = 1; bit < ranks; bit <<= 1) {
      long packed = 0;
      for (int distance = bit; distance < ranks; distance++) {
        if ((distance & bit) != 0) {
          steps.copy(places[distance], scratch(rank, used + packed, part));
          places[distance] = scratch(rank, used + most(ranks) * part + packed, part);
          packed += part;
        }
      }
      Range arrived = scratch(rank, used + most(ranks) * part, packed);
      steps.receive(Math.floorMod(rank - bit, ranks), arrived);
      steps.send((rank + bit) % ranks, scratch(rank, used, packed));
      used += 2L * most(ranks) * part;
    }
    for (int distance = request.inPlace() ? 1 : 0; distance < ranks; distance++) {
      int from = Math.floorMod(rank - distance, ranks);
      steps.copy(places[distance], output(rank, from * part, part));
    }
    return steps;
  }
}
