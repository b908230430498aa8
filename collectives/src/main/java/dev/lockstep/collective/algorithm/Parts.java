package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Shares;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// What the algorithms have in common.
final class Parts {
  /// Where the elements of a contribution are to be read.
  @FunctionalInterface
  interface Source {
    Range of(int rank, int input);
  }

  private record Holder(int rank, int input) {}

  private Parts() {}

  static Range input(int rank, int index, long offset, long elements) {
    return new Range(rank, new Space.Input(index), offset, elements);
  }

  static Range output(int rank, long offset, long elements) {
    return new Range(rank, new Space.Output(), offset, elements);
  }

  /// Returns a rank's share of the output.
  static Range share(int rank, Shares shares, int part) {
    return output(rank, shares.start(part), shares.length(part));
  }

  static Shares shares(CollectiveRequest request) {
    return Shares.atCacheLines(request.total(), request.ranks(), request.dtype().bytes());
  }

  /// Returns whether a rank brings a contribution.
  static boolean contributes(CollectiveRequest request, int rank) {
    return request.inputs(rank) > 0;
  }

  /// Returns the ranks but this one, starting with its successor: so no two ranks turn to the same
  /// peer at once.
  static int[] peers(int rank, int ranks) {
    int[] peers = new int[ranks - 1];
    for (int i = 0; i < peers.length; i++) {
      peers[i] = (rank + 1 + i) % ranks;
    }
    return peers;
  }

  /// Returns the lane tree T over all contributions.
  static JoinTree laneTree(CollectiveRequest request, Source source) {
    Map<Subtree, Holder> holders = new HashMap<>();
    for (int rank = 0; rank < request.ranks(); rank++) {
      for (int input = 0; input < request.inputs(rank); input++) {
        holders.put(request.subtree(rank, input), new Holder(rank, input));
      }
    }
    return laneTree(new Subtree(0, request.lanes().lanes()), holders, source);
  }

  private static JoinTree laneTree(Subtree at, Map<Subtree, Holder> holders, Source source) {
    Holder holder = holders.get(at);
    if (holder != null) {
      return new JoinTree.Leaf(source.of(holder.rank(), holder.input()));
    }
    int left = SumTree.left(at.size());
    return new JoinTree.Node(
        laneTree(new Subtree(at.first(), left), holders, source),
        laneTree(new Subtree(at.first() + left, at.size() - left), holders, source));
  }

  /// Adds the division that makes an average of a sum.
  static void finish(List<Step> steps, CollectiveRequest request, Range sum) {
    if (request.reduceOp() instanceof ReduceOp.Avg) {
      steps.add(new Step.Divide(sum));
    }
  }

  /// Returns the lowest rank like `rank` where turning all ranks round by one changes nothing.
  static int alikeByRotation(CollectiveRequest request, int rank) {
    boolean even = shares(request).isEven();
    for (int other = 1; even && other < request.ranks(); other++) {
      even = request.inputs(other) == request.inputs(0);
    }
    return even ? 0 : rank;
  }

  static Optional<String> refuseOtherKinds(CollectiveRequest request, CollectiveKind kind) {
    return request.kind() == kind ? Optional.empty() : Optional.of("only does " + kind.label());
  }

  static Optional<String> refuseWithoutPeerMemory(CollectiveRequest request) {
    return request.topology().peerMemory() || request.ranks() == 1
        ? Optional.empty()
        : Optional.of("ranks cannot read each other's memory");
  }

  /// @throws IllegalArgumentException if the algorithm refuses the request
  static void check(Algorithm algorithm, CollectiveRequest request) {
    algorithm
        .refusal(request)
        .ifPresent(
            reason -> {
              throw new IllegalArgumentException(
                  "algorithm cannot do this: algorithm=%s, request=%s, reason=%s"
                      .formatted(algorithm.name(), request.words(), reason));
            });
  }
}
