package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Requests that tests use.
public final class Requests {
  private Requests() {}

  public static CollectiveRequest allReduce(
      long elements, boolean inPlace, LaneSplit lanes, boolean peerMemory, Mode mode) {
    Topology topology = Topology.oneNode(lanes.ranks().size(), peerMemory);
    return CollectiveRequest.allReduce(
        DType.F32, new ReduceOp.Sum(), elements, inPlace, topology, lanes, mode);
  }

  /// Returns lanes dealt to ranks at random, as the fewest subtrees of each rank's runs; ranks may
  /// get none.
  public static LaneSplit scattered(int lanes, int ranks, long seed) {
    Random random = new Random(seed);
    int[] holder = random.ints(lanes, 0, ranks).toArray();
    List<List<Subtree>> split = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      List<Subtree> held = new ArrayList<>();
      for (int lane = 0; lane < lanes; lane++) {
        int end = lane;
        while (end < lanes && holder[end] == rank) {
          end++;
        }
        held.addAll(SumTree.cover(lanes, lane, end));
        lane = Math.max(lane, end - 1);
      }
      split.add(held);
    }
    return new LaneSplit(lanes, split);
  }

  /// Returns lanes in rounds: at round `t` rank `r` holds lane `t * ranks + r`.
  public static LaneSplit interleaved(int lanes, int ranks) {
    List<List<Subtree>> split = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      List<Subtree> held = new ArrayList<>();
      for (int lane = rank; lane < lanes; lane += ranks) {
        held.add(new Subtree(lane, 1));
      }
      split.add(held);
    }
    return new LaneSplit(lanes, split);
  }

  /// Returns requests of every kind over some ranks: in place and not, even and uneven counts with
  /// empty ones among them, several roots, lanes dealt in several ways.
  ///
  /// @param dense whether to take more of each
  public static List<CollectiveRequest> ofEveryKind(int ranks, boolean dense) {
    List<CollectiveRequest> requests = new ArrayList<>();
    Topology topology = Topology.oneNode(ranks, true);
    requests.add(CollectiveRequest.barrier(topology));
    for (boolean inPlace : new boolean[] {false, true}) {
      for (Counts counts : counts(ranks, dense)) {
        requests.add(CollectiveRequest.allGather(DType.F32, counts, inPlace, topology));
        for (int root : roots(ranks, dense)) {
          requests.add(CollectiveRequest.gather(DType.F32, counts, root, inPlace, topology));
          requests.add(CollectiveRequest.scatter(DType.F32, counts, root, inPlace, topology));
        }
      }
      for (long size : dense ? new long[] {0, 1, 17, 1000} : new long[] {1000}) {
        requests.add(CollectiveRequest.sendReceive(DType.F32, size, inPlace, topology));
        for (int root : roots(ranks, dense)) {
          requests.add(
              CollectiveRequest.broadcast(DType.F32, size, root, topology).withInPlace(inPlace));
        }
      }
      for (Counts counts : List.of(Counts.each((long) ranks * ranks, 3), matrix(ranks))) {
        requests.add(CollectiveRequest.allToAll(DType.F32, counts, inPlace, topology));
      }
    }
    for (Mode mode : Mode.values()) {
      for (LaneSplit lanes : splits(ranks, dense)) {
        addReductions(requests, ranks, lanes, mode, dense);
      }
    }
    return requests;
  }

  private static void addReductions(
      List<CollectiveRequest> requests, int ranks, LaneSplit lanes, Mode mode, boolean dense) {
    Topology topology = Topology.oneNode(ranks, true);
    boolean one = lanes.isOnePerRank();
    ReduceOp op = one && mode == Mode.RELAXED ? new ReduceOp.Avg() : new ReduceOp.Sum();
    for (boolean inPlace : new boolean[] {false, true}) {
      for (long size : dense && one ? new long[] {0, 1, 17, 1000} : new long[] {1000}) {
        requests.add(
            CollectiveRequest.allReduce(DType.F32, op, size, inPlace, topology, lanes, mode));
        for (int root : roots(ranks, dense && one)) {
          requests.add(
              CollectiveRequest.reduce(DType.F32, op, size, root, inPlace, topology, lanes, mode));
        }
      }
      for (Counts counts : counts(ranks, dense && one)) {
        requests.add(
            CollectiveRequest.reduceScatter(DType.F32, op, counts, inPlace, topology, lanes, mode));
      }
    }
    if (one) {
      for (boolean inPlace : new boolean[] {false, true}) {
        requests.add(
            CollectiveRequest.allReduce(
                DType.F32, new ReduceOp.Sum(), 3, inPlace, topology, lanes, mode));
      }
      ReduceOp scaled = new ReduceOp.PreMulSum(0.5);
      requests.add(
          CollectiveRequest.allReduce(DType.F32, scaled, 100, true, topology, lanes, mode));
      requests.add(
          CollectiveRequest.reduce(DType.F32, scaled, 100, 0, true, topology, lanes, mode));
      requests.add(
          CollectiveRequest.reduceScatter(
              DType.F32, scaled, Counts.each(ranks, 9), true, topology, lanes, mode));
    }
  }

  private static int[] roots(int ranks, boolean dense) {
    return dense
        ? IntStream.range(0, ranks).filter(root -> ranks <= 8 || root % 5 == 1).toArray()
        : new int[] {ranks / 2};
  }

  private static List<Counts> counts(int ranks, boolean dense) {
    Random random = new Random(ranks);
    Counts uneven = Counts.of(random.longs(ranks, 0, 6).boxed().toList());
    return dense
        ? List.of(Counts.each(ranks, 5), uneven, Counts.each(ranks, 0))
        : List.of(Counts.each(ranks, 32), uneven);
  }

  private static Counts matrix(int ranks) {
    Random random = new Random(31L * ranks);
    return Counts.of(random.longs((long) ranks * ranks, 0, 4).boxed().toList());
  }

  /// Returns ways to deal lanes to ranks.
  public static List<LaneSplit> splits(int ranks, boolean dense) {
    List<LaneSplit> splits = new ArrayList<>();
    splits.add(LaneSplit.onePerRank(ranks));
    if (!dense) {
      splits.add(LaneSplit.contiguous(ranks + 9, ranks));
      splits.add(scattered(ranks, ranks, 7));
      return splits;
    }
    for (int lanes = 1; lanes <= 16; lanes += lanes < 9 ? 1 : 4) {
      if (lanes >= ranks) {
        splits.add(LaneSplit.contiguous(lanes, ranks));
        splits.add(interleaved(lanes, ranks));
      }
      splits.add(scattered(lanes, ranks, 31L * lanes + ranks));
    }
    return splits.stream().distinct().toList();
  }

  /// Returns a few small requests of every kind.
  public static List<CollectiveRequest> small(int ranks) {
    List<CollectiveRequest> requests = new ArrayList<>();
    Topology topology = Topology.oneNode(ranks, true);
    LaneSplit one = LaneSplit.onePerRank(ranks);
    LaneSplit uneven = LaneSplit.contiguous(5, ranks);
    Counts parts = Counts.of(IntStream.range(0, ranks).mapToObj(rank -> 2L + rank % 2).toList());
    Counts matrix = Counts.of(IntStream.range(0, ranks * ranks).mapToObj(i -> i % 3L).toList());
    long elements = 16L * ranks + 3;
    requests.add(CollectiveRequest.barrier(topology));
    for (boolean inPlace : new boolean[] {false, true}) {
      requests.add(
          CollectiveRequest.broadcast(DType.F32, 5, ranks - 1, topology).withInPlace(inPlace));
      requests.add(CollectiveRequest.allGather(DType.F32, parts, inPlace, topology));
      requests.add(CollectiveRequest.gather(DType.F32, parts, ranks - 1, inPlace, topology));
      requests.add(CollectiveRequest.scatter(DType.F32, parts, ranks - 1, inPlace, topology));
      // Long enough for the root to move a share of what goes between it and the others.
      Counts shared = Counts.each(ranks, 32L * ranks + 3);
      requests.add(
          CollectiveRequest.broadcast(DType.F32, shared.get(0), 0, topology).withInPlace(inPlace));
      requests.add(CollectiveRequest.gather(DType.F32, shared, 0, inPlace, topology));
      requests.add(CollectiveRequest.scatter(DType.F32, shared, 0, inPlace, topology));
      requests.add(CollectiveRequest.sendReceive(DType.F32, 5, inPlace, topology));
      requests.add(CollectiveRequest.allToAll(DType.F32, matrix, inPlace, topology));
      requests.add(allReduce(elements, inPlace, one, true, Mode.RELAXED));
      requests.add(allReduce(elements, inPlace, uneven, true, Mode.SAME_BITS));
      for (LaneSplit lanes : List.of(one, uneven)) {
        Mode mode = lanes.isOnePerRank() ? Mode.RELAXED : Mode.SAME_BITS;
        ReduceOp op = lanes.isOnePerRank() ? new ReduceOp.Avg() : new ReduceOp.Sum();
        requests.add(
            CollectiveRequest.reduceScatter(DType.F32, op, parts, inPlace, topology, lanes, mode));
        requests.add(
            CollectiveRequest.reduce(
                DType.F32, op, elements, ranks - 1, inPlace, topology, lanes, mode));
      }
    }
    requests.add(
        CollectiveRequest.allReduce(
            DType.F32, new ReduceOp.PreMulSum(3), elements, true, topology, one, Mode.RELAXED));
    requests.add(
        CollectiveRequest.allToAll(
            DType.F32, Counts.each((long) ranks * ranks, 2), false, topology));
    requests.add(
        CollectiveRequest.allToAll(
            DType.F32, Counts.each((long) ranks * ranks, 18), true, topology));
    requests.add(CollectiveRequest.sendReceive(DType.F32, 35, true, Topology.oneNode(2, true)));
    for (int size : new int[] {ranks + 1, 2 * ranks}) {
      Topology grouped = new Topology(size, List.of(2), false);
      LaneSplit lanes = LaneSplit.onePerRank(size);
      requests.add(
          CollectiveRequest.allReduce(
              DType.F32, new ReduceOp.Sum(), 70, size % 2 == 1, grouped, lanes, Mode.SAME_BITS));
    }
    addGrouped(requests, new Topology(ranks + 1, List.of(2), false));
    return requests;
  }

  /// Adds requests of ranks in groups, the last of them smaller or not.
  private static void addGrouped(List<CollectiveRequest> requests, Topology grouped) {
    int ranks = grouped.ranks();
    LaneSplit lanes = LaneSplit.onePerRank(ranks);
    Counts parts = Counts.of(IntStream.range(0, ranks).mapToObj(rank -> 2L + rank % 2).toList());
    Counts matrix = Counts.of(IntStream.range(0, ranks * ranks).mapToObj(i -> i % 3L).toList());
    ReduceOp sum = new ReduceOp.Sum();
    requests.add(CollectiveRequest.barrier(grouped));
    requests.add(CollectiveRequest.broadcast(DType.F32, 18, ranks - 1, grouped));
    requests.add(CollectiveRequest.allGather(DType.F32, parts, false, grouped));
    requests.add(CollectiveRequest.allToAll(DType.F32, matrix, false, grouped));
    requests.add(
        CollectiveRequest.reduce(
            DType.F32, sum, 18, ranks - 1, true, grouped, lanes, Mode.SAME_BITS));
    for (Mode mode : Mode.values()) {
      requests.add(
          CollectiveRequest.reduceScatter(DType.F32, sum, parts, true, grouped, lanes, mode));
    }
    LaneSplit several = LaneSplit.contiguous(3 * ranks, ranks);
    requests.add(
        CollectiveRequest.allReduce(DType.F32, sum, 18, true, grouped, several, Mode.RELAXED));
  }

  /// Returns a request of any kind over up to as many ranks, with anything that a request may have.
  public static CollectiveRequest random(Random random, int mostRanks) {
    int ranks = 1 + random.nextInt(mostRanks);
    CollectiveKind[] kinds = CollectiveKind.values();
    CollectiveKind kind = kinds[random.nextInt(kinds.length)];
    List<DType> types =
        Stream.of(DType.values()).filter(type -> !kind.reduces() || type.isFloat()).toList();
    List<ReduceOp> ops =
        List.of(new ReduceOp.Sum(), new ReduceOp.Avg(), new ReduceOp.PreMulSum(0.25));
    long parts =
        switch (kind) {
          case ALL_REDUCE, REDUCE, BROADCAST, SEND_RECEIVE -> 1;
          case REDUCE_SCATTER, ALL_GATHER, GATHER, SCATTER -> ranks;
          case ALL_TO_ALL -> (long) ranks * ranks;
          case BARRIER -> 0;
        };
    int most = parts > 1 ? 9 : 3000;
    boolean rooted =
        switch (kind) {
          case BROADCAST, REDUCE, GATHER, SCATTER -> true;
          case ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, ALL_TO_ALL, BARRIER, SEND_RECEIVE -> false;
        };
    int lanes = 1 + random.nextInt(2 * ranks);
    int group = 2 + random.nextInt(3);
    return new CollectiveRequest(
        kind,
        types.get(random.nextInt(types.size())),
        kind.reduces() ? ops.get(random.nextInt(ops.size())) : null,
        rooted ? random.nextInt(ranks) : -1,
        random.nextBoolean()
            ? Counts.each(parts, random.nextInt(most))
            : Counts.of(random.longs(parts, 0, most).boxed().toList()),
        random.nextBoolean(),
        new Topology(ranks, group < ranks ? List.of(group) : List.of(), true),
        kind.reduces() && random.nextBoolean()
            ? scattered(lanes, ranks, random.nextLong())
            : LaneSplit.onePerRank(ranks),
        random.nextBoolean() ? Mode.RELAXED : Mode.SAME_BITS);
  }

  /// Returns every algorithm; those that send chunks do so with chunks of a cache line.
  public static List<Algorithm> algorithms() {
    List<Algorithm> algorithms = new ArrayList<>(Algorithms.all());
    algorithms.removeIf(algorithm -> algorithm.name().contains("/"));
    algorithms.add(new DoubleTreeAllReduce(64));
    algorithms.add(new RingAllReduce(64));
    return algorithms;
  }
}
