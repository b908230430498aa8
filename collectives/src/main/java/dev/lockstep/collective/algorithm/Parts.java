package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Partners;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Shares;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntFunction;

/// What the algorithms have in common.
final class Parts {
  /// The signal that a rank's inputs may be read.
  static final int READY = 0;

  /// The signal that a rank's share is joined.
  static final int JOINED = 1;

  /// The signal that a rank's memory has been read.
  static final int READ = 2;

  /// The signal that a rank's share is written to its peer.
  static final int WRITTEN = 1;

  /// The signal that what a rank swaps with another one is swapped.
  static final int SWAPPED = 1;

  /// The signal of a barrier.
  static final int HERE = 3;

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

  static Range scratch(int rank, long offset, long elements) {
    return new Range(rank, new Space.Scratch(0), offset, elements);
  }

  /// Returns what one rank sends to another in an all-to-all.
  static Range sent(CollectiveRequest request, int from, int to) {
    return input(from, 0, request.sendStart(from, to), request.count(from, to));
  }

  /// Returns where a rank gets what another one sends in an all-to-all: in place in scratch, since
  /// its own input must stand until it is sent.
  static Range got(CollectiveRequest request, int to, int from) {
    long start = request.receiveStart(to, from);
    long elements = request.count(from, to);
    return request.inPlace() ? scratch(to, start, elements) : output(to, start, elements);
  }

  /// Returns whether in a send/receive a rank must keep what it sends while it gets something in
  /// its place.
  static boolean swaps(CollectiveRequest request, int rank) {
    int to = request.partners().destination(rank);
    return request.inPlace()
        && to != rank
        && to != Partners.NOBODY
        && request.partners().source(rank) != Partners.NOBODY;
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

  /// Returns whether a rank brings a contribution.
  static boolean contributes(CollectiveRequest request, int rank) {
    return request.inputs(rank) > 0;
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

  /// Returns a rank's own contributions, joined one after another.
  static JoinTree chain(CollectiveRequest request, int rank, long offset, long elements) {
    JoinTree tree = new JoinTree.Leaf(input(rank, 0, offset, elements));
    for (int index = 1; index < request.inputs(rank); index++) {
      tree = new JoinTree.Node(tree, new JoinTree.Leaf(input(rank, index, offset, elements)));
    }
    return tree;
  }

  /// Returns the lowest rank like `rank` where turning all ranks round by one changes nothing:
  /// equal parts, equally many contributions.
  static int alikeByRotation(CollectiveRequest request, int rank) {
    boolean even =
        switch (request.kind()) {
          case ALL_REDUCE, REDUCE ->
              Shares.atCacheLines(request.total(), request.ranks(), request.dtype().bytes())
                  .isEven();
          default -> request.counts().areEqual();
        };
    if (!even) {
      return rank;
    }
    for (int other = 1; !request.lanes().isOnePerRank() && other < request.ranks(); other++) {
      if (request.inputs(other) != request.inputs(0)) {
        return rank;
      }
    }
    return 0;
  }

  /// Returns where a rank's contribution to the whole reduction is that brings at least one: its
  /// only input, or its output, in which it is joined by the steps added.
  static Space joinOwn(Steps steps, CollectiveRequest request, int rank) {
    if (request.inputs(rank) == 1) {
      return new Space.Input(0);
    }
    steps.reduce(output(rank, 0, request.total()), chain(request, rank, 0, request.total()));
    return new Space.Output();
  }

  /// Returns why contributions joined in the order of ranks, by T over the ranks, are not what is
  /// asked for.
  static Optional<String> notInRankOrder(CollectiveRequest request) {
    if (request.lanes().isOnePerRank()) {
      return Optional.empty();
    }
    for (int rank = 0; rank < request.ranks(); rank++) {
      if (request.inputs(rank) == 0) {
        return Optional.of("a rank brings no contribution");
      }
    }
    return request.mode() == Mode.RELAXED || ranksAreTheLeaves(request)
        ? Optional.empty()
        : Optional.of("the lane tree is not one over the ranks");
  }

  /// Returns whether every rank brings one subtree, and joining them by T over the ranks gives T
  /// over the lanes.
  private static boolean ranksAreTheLeaves(CollectiveRequest request) {
    for (int rank = 0; rank < request.ranks(); rank++) {
      if (request.inputs(rank) != 1) {
        return false;
      }
    }
    JoinTree lanes = laneTree(request, (rank, _) -> input(rank, 0, 0, 0));
    return lanes.equals(tree(0, request.ranks(), rank -> input(rank, 0, 0, 0)));
  }

  /// Returns the tree T over members of a group, from a first one on.
  static JoinTree tree(int first, int size, IntFunction<Range> source) {
    if (size == 1) {
      return new JoinTree.Leaf(source.apply(first));
    }
    int left = SumTree.left(size);
    return new JoinTree.Node(tree(first, left, source), tree(first + left, size - left, source));
  }

  static Optional<String> noPeerMemory(CollectiveRequest request) {
    return request.topology().peerMemory() || request.ranks() == 1
        ? Optional.empty()
        : Optional.of("ranks cannot read each other's memory");
  }

  static Optional<String> nothingToShare(CollectiveRequest request) {
    return request.ranks() == 1
        ? Optional.of("a rank alone shares its work with nobody")
        : noPeerMemory(request);
  }

  /// Returns how many of the elements that go between the root and another rank, the last of them,
  /// the root moves. In place so many that all ranks move as many; else half as many, since the
  /// root copies its own elements too, which takes half as long as another rank's.
  static long rootMoves(CollectiveRequest request, long elements) {
    int parts = request.inPlace() ? request.ranks() : 2 * request.ranks();
    return Shares.atCacheLines(elements, parts, request.dtype().bytes()).length(parts - 1);
  }

  static Optional<String> notAPowerOfTwo(CollectiveRequest request) {
    return Integer.bitCount(request.ranks()) == 1
        ? Optional.empty()
        : Optional.of("the number of ranks is not a power of two");
  }

  static Optional<String> notTheLaneTree(CollectiveRequest request, String what) {
    return request.mode() == Mode.RELAXED || request.ranks() == 1
        ? Optional.empty()
        : Optional.of(what + " does not realise the lane tree");
  }
}
