package dev.lockstep.collective.algorithm;

import static dev.lockstep.collective.algorithm.Parts.input;
import static dev.lockstep.collective.algorithm.Parts.output;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Range;

/// Broadcast by a scatter of shares from the root and a ring all-gather of them (Barnett, Gupta,
/// Payne, Shuler, van de Geijn and Watts, 1994).
///
/// `P` messages deep; the root sends less than `2 S`, the others at most `S`: for many bytes.
final class ScatterBroadcast extends PlannedAlgorithm {
  /// Makes the algorithm.
  ScatterBroadcast() {
    super("scatter-broadcast", CollectiveKind.BROADCAST);
  }

  @Override
  Plan plan(CollectiveRequest request) {
    Cut shares = Cut.evenly(request, request.ranks());
    return Plan.of(rank -> steps(request, shares, rank));
  }

  private static Steps steps(CollectiveRequest request, Cut shares, int rank) {
    Steps steps = new Steps();
    int ranks = request.ranks();
    int root = request.root();
    int next = (rank + 1) % ranks;
    if (rank == root) {
      for (int peer : Parts.peers(root, ranks)) {
        steps.send(peer, share(request, shares, root, peer));
      }
    } else {
      steps.receive(root, share(request, shares, rank, rank));
    }
    for (int hop = 0; hop < ranks - 1; hop++) {
      if (next != root) {
        steps.send(next, share(request, shares, rank, Math.floorMod(rank - hop, ranks)));
      }
      if (rank != root) {
        int coming = Math.floorMod(rank - hop - 1, ranks);
        steps.receive(Math.floorMod(rank - 1, ranks), share(request, shares, rank, coming));
      }
    }
    if (rank == root && !request.inPlace()) {
      long elements = request.total();
      steps.copy(input(rank, 0, 0, elements), output(rank, 0, elements));
    }
    return steps;
  }

  private static Range share(CollectiveRequest request, Cut shares, int rank, int part) {
    return rank == request.root()
        ? input(rank, 0, shares.start(part), shares.length(part))
        : output(rank, shares.start(part), shares.length(part));
  }
}
