package dev.lockstep.collective.algorithm;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Schedule;
import java.util.List;
import java.util.Optional;

/// The algorithms that there are, and the rule by which one is chosen.
///
/// Where ranks read each other's memory and every message is short, an algorithm by messages is
/// taken. Else the first of this order that can do what is asked: where ranks read each other's
/// memory those that do, since they move every byte once; then the ring, which sends least but may
/// only be used in relaxed mode; then the exchanges, which send as much as a ring where every rank
/// brings one subtree and realise the lane tree.
public final class Algorithms {
  /// A message of this size takes long enough that what every message costs hardly counts.
  private static final long CHUNK_BYTES = 64 << 10;

  private static final List<Algorithm> IN_ORDER =
      List.of(
          new BroadcastAllReduce(),
          new DirectAllReduce(),
          new RingAllReduce(),
          new ExchangeAllReduce(),
          new RecursiveDoublingAllReduce(),
          HalvingAllReduce.byDistanceDoubling(),
          HalvingAllReduce.byDistanceHalving(),
          HierarchicalAllReduce.halving(),
          HierarchicalAllReduce.doubling(),
          new RingAllReduce(CHUNK_BYTES),
          new DoubleTreeAllReduce(CHUNK_BYTES),
          new DirectReduceScatter(),
          new RingReduceScatter(),
          new ExchangeReduceScatter(),
          HalvingReduceScatter.byDistanceDoubling(),
          HalvingReduceScatter.byDistanceHalving(),
          new DirectAllGather(),
          new RingAllGather(),
          new ExchangeAllGather(),
          new RecursiveDoublingAllGather(),
          new BruckAllGather(),
          new DirectBroadcast(),
          new BinomialBroadcast(),
          new ScatterBroadcast(),
          new DirectReduce(),
          new ExchangeReduce(),
          new BinomialReduce(),
          new DirectAllToAll(),
          new PairwiseAllToAll(),
          new BruckAllToAll(),
          new DirectGather(),
          new LinearGather(),
          new BinomialGather(),
          new DirectScatter(),
          new LinearScatter(),
          new BinomialScatter(),
          new SignalBarrier(),
          new MessageBarrier(),
          new DirectSendReceive(),
          new MessageSendReceive());

  /// Longest message of a mailbox.
  private static final long SHORT_BYTES = 1024;

  private Algorithms() {}

  /// Returns every algorithm, in the order in which they are tried.
  public static List<Algorithm> all() {
    return IN_ORDER;
  }

  /// Returns the algorithms that can do a request, in order.
  public static List<Algorithm> applicable(CollectiveRequest request) {
    return IN_ORDER.stream().filter(algorithm -> algorithm.refusal(request).isEmpty()).toList();
  }

  /// Returns the algorithm of that name, if there is one.
  public static Optional<Algorithm> named(String name) {
    return IN_ORDER.stream().filter(algorithm -> algorithm.name().equals(name)).findFirst();
  }

  /// Returns the schedule to run a request by; the same on every rank.
  ///
  /// @throws IllegalArgumentException if no algorithm can do it; the message has each one's reason
  public static Schedule choose(CollectiveRequest request) {
    if (isShort(request)) {
      for (Algorithm algorithm : IN_ORDER) {
        if (isOneMessageDeep(algorithm) && algorithm.refusal(request).isEmpty()) {
          return algorithm.schedule(request);
        }
      }
    }
    StringBuilder reasons = new StringBuilder();
    for (Algorithm algorithm : IN_ORDER) {
      Optional<String> refusal = algorithm.refusal(request);
      if (refusal.isEmpty()) {
        return algorithm.schedule(request);
      }
      reasons.append(", ").append(algorithm.name()).append("=").append(refusal.get());
    }
    throw new IllegalArgumentException(
        "no algorithm for this collective: request=" + request.words() + reasons);
  }

  /// Whether every message is so short that, where ranks share memory, it travels beside its
  /// signal: one hop, where reading in place takes two signals.
  private static boolean isShort(CollectiveRequest request) {
    if (request.kind() == CollectiveKind.BARRIER || !request.topology().peerMemory()) {
      return false;
    }
    long most = 0;
    for (long part = 0; part < request.counts().size(); part++) {
      most = Math.max(most, request.counts().get(part));
    }
    return most * request.dtype().bytes() <= SHORT_BYTES;
  }

  private static boolean isOneMessageDeep(Algorithm algorithm) {
    return switch (algorithm) {
      case BroadcastAllReduce _,
          ExchangeReduceScatter _,
          ExchangeAllGather _,
          BinomialBroadcast _,
          BinomialReduce _,
          PairwiseAllToAll _,
          LinearGather _,
          LinearScatter _,
          MessageSendReceive _ ->
          true;
      default -> false;
    };
  }
}
