package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Schedule;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;

/// The algorithms that there are. Which one runs a request is for
/// [dev.lockstep.collective.plan.Planner] to choose; of those that it finds equal, and where
/// nothing can be timed, the first of this order is taken: where ranks read each other's memory
/// those that do, which stage nothing; then the ring, which sends least but may only be used in
/// relaxed mode; then the exchanges, which send as much as a ring where every rank brings one
/// subtree and realise the lane tree.
public final class Algorithms {
  /// Sizes of chunks: from one that takes long enough on a host that what every message costs
  /// hardly counts, to one that does so on a wire of great latency.
  private static final long CHUNK_BYTES = 64 << 10;

  private static final long MIDDLE_CHUNK_BYTES = 256 << 10;
  private static final long LARGE_CHUNK_BYTES = 1 << 20;
  private static final long LARGEST_CHUNK_BYTES = 4 << 20;

  private static final List<Algorithm> IN_ORDER =
      List.of(
          new BroadcastAllReduce(),
          new SpreadAllReduce(),
          new DirectAllReduce(),
          new RingAllReduce(),
          new ExchangeAllReduce(),
          new RecursiveDoublingAllReduce(),
          HalvingAllReduce.byDistanceDoubling(),
          HalvingAllReduce.byDistanceHalving(),
          HierarchicalAllReduce.halving(),
          HierarchicalAllReduce.doubling(),
          new RingAllReduce(CHUNK_BYTES),
          new RingAllReduce(MIDDLE_CHUNK_BYTES, CHUNK_BYTES),
          new RingAllReduce(LARGE_CHUNK_BYTES, MIDDLE_CHUNK_BYTES),
          new RingAllReduce(LARGEST_CHUNK_BYTES, LARGE_CHUNK_BYTES),
          new DoubleTreeAllReduce(CHUNK_BYTES),
          new DoubleTreeAllReduce(MIDDLE_CHUNK_BYTES, CHUNK_BYTES),
          new DoubleTreeAllReduce(LARGE_CHUNK_BYTES, MIDDLE_CHUNK_BYTES),
          new DoubleTreeAllReduce(LARGEST_CHUNK_BYTES, LARGE_CHUNK_BYTES),
          new DirectReduceScatter(),
          new RingReduceScatter(),
          new ExchangeReduceScatter(),
          HalvingReduceScatter.byDistanceDoubling(),
          HalvingReduceScatter.byDistanceHalving(),
          new HierarchicalReduceScatter(),
          new HierarchicalSlicedReduceScatter(),
          new DirectAllGather(),
          new RingAllGather(),
          new ExchangeAllGather(),
          new RecursiveDoublingAllGather(),
          new BruckAllGather(),
          new HierarchicalAllGather(),
          new SpreadBroadcast(),
          new DirectBroadcast(),
          new BinomialBroadcast(),
          new ScatterBroadcast(),
          new HierarchicalBroadcast(),
          new HierarchicalScatterBroadcast(),
          new SpreadReduce(),
          new DirectReduce(),
          new ExchangeReduce(),
          new BinomialReduce(),
          new HierarchicalReduce(),
          new HierarchicalScatterReduce(),
          new SwapAllToAll(),
          new DirectAllToAll(),
          new PairwiseAllToAll(),
          new BruckAllToAll(),
          new HierarchicalAllToAll(),
          new SpreadGather(),
          new DirectGather(),
          new LinearGather(),
          new BinomialGather(),
          new SpreadScatter(),
          new DirectScatter(),
          new LinearScatter(),
          new BinomialScatter(),
          new SignalBarrier(),
          new MessageBarrier(),
          new HierarchicalBarrier(),
          new SwapSendReceive(),
          new DirectSendReceive(),
          new MessageSendReceive());

  /// Ranks that share cores and exchange messages where two signals would do: eight on two cores
  /// take a fifth longer so, four a third less.
  private static final int MOST_EXCHANGING = 4;

  /// Collectives in which each rank sends what it has to all others.
  private static final Set<CollectiveKind> EACH_TO_ALL =
      Set.of(CollectiveKind.REDUCE_SCATTER, CollectiveKind.ALL_GATHER);

  private Algorithms() {}

  /// Returns every algorithm, in the order in which they are tried.
  public static List<Algorithm> all() {
    return IN_ORDER;
  }

  /// Returns the algorithms for a kind of collective, in order.
  public static List<Algorithm> of(CollectiveKind kind) {
    return IN_ORDER.stream().filter(algorithm -> algorithm.kind() == kind).toList();
  }

  /// Returns the algorithms that can do a request, in order, without those whose chunks are the
  /// same as with a smaller size before.
  public static List<Algorithm> applicable(CollectiveRequest request) {
    return IN_ORDER.stream()
        .filter(algorithm -> algorithm.refusal(request).isEmpty())
        .filter(algorithm -> algorithm.redundancy(request).isEmpty())
        .toList();
  }

  /// Returns the algorithm of that name, if there is one.
  public static Optional<Algorithm> named(String name) {
    return IN_ORDER.stream().filter(algorithm -> algorithm.name().equals(name)).findFirst();
  }

  /// Returns the algorithm for a request of which every message is so short that, where ranks share
  /// memory, it travels beside its signal; nothing for any other request. One hop is then less than
  /// the two signals that reading in place takes, on every machine, by less than can be fitted
  /// reliably.
  ///
  /// @param handsOver whether ranks share cores, so that every hop waits for its turn on one: then
  ///   two hops by messages, too, are less than two signals deep in peers' memory, but messages
  ///   that each rank has for all others take longer than reading, unless they are half as long
  public static Optional<Algorithm> brief(CollectiveRequest request, boolean handsOver) {
    if (request.kind() == CollectiveKind.BARRIER || !request.topology().peerMemory()) {
      return Optional.empty();
    }
    long most = 0;
    for (long part = 0; part < request.counts().size(); part++) {
      most = Math.max(most, request.counts().get(part));
    }
    long bytes = most * request.dtype().bytes();
    int shortBytes = Schedule.SHORT_BYTES;
    boolean reads = handsOver && EACH_TO_ALL.contains(request.kind());
    if (bytes <= (reads ? shortBytes / 2 : shortBytes)) {
      return first(request, Algorithm::isBrief);
    }
    int ranks = request.ranks();
    return handsOver && ranks <= MOST_EXCHANGING && bytes <= (long) shortBytes / 2 * ranks
        ? first(request, ExchangeAllReduce.class::isInstance)
        : Optional.empty();
  }

  private static Optional<Algorithm> first(CollectiveRequest request, Predicate<Algorithm> wanted) {
    return IN_ORDER.stream()
        .filter(wanted)
        .filter(algorithm -> algorithm.kind() == request.kind())
        .filter(algorithm -> algorithm.refusal(request).isEmpty())
        .findFirst();
  }
}
