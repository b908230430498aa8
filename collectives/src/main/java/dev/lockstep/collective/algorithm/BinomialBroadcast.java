package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Broadcast by messages down a binomial tree: counted from the root, rank `v` gets the elements
/// from `v` without its lowest bit and passes them on to `v` plus each lower bit, farthest first.
///
/// `ceil(log2 P)` messages deep; the root sends `ceil(log2 P) * S` bytes, all ranks together `(P-1)
/// * S`.
public final class BinomialBroadcast implements Algorithm {
  /// Makes the algorithm.
  public BinomialBroadcast() {}

  @Override
  public String name() {
    return "binomial-broadcast";
  }

  @Override
  public Optional<String> refusal(CollectiveRequest request) {
    return Parts.refuseOtherKinds(request, CollectiveKind.BROADCAST);
  }

  @Override
  public Schedule schedule(CollectiveRequest request) {
    Parts.check(this, request);
    return Schedule.of(name(), request, rank -> steps(request, rank), _ -> List.of(), rank -> rank);
  }

  private static List<Step> steps(CollectiveRequest request, int rank) {
    List<Step> steps = new ArrayList<>();
    int ranks = request.ranks();
    int root = request.root();
    long elements = request.total();
    if (elements == 0) {
      return steps;
    }
    int virtual = Math.floorMod(rank - root, ranks);
    Range held = rank == root ? input(rank, 0, 0, elements) : output(rank, 0, elements);
    int reach = Integer.lowestOneBit(virtual);
    if (rank == root) {
      reach = Integer.highestOneBit(Math.max(1, ranks - 1)) << 1;
    } else {
      steps.add(new Step.Receive((virtual - reach + root) % ranks, held));
    }
    for (int bit = reach >> 1; bit > 0; bit >>= 1) {
      if (virtual + bit < ranks) {
        steps.add(new Step.Send((virtual + bit + root) % ranks, held));
      }
    }
    if (rank == root && !request.inPlace()) {
      steps.add(new Step.Copy(held, output(rank, 0, elements)));
    }
    return steps;
  }
}
