package dev.lockstep.collective.simulate;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Space;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/// How long things take on a fabric, for one request; in picoseconds, so that sums are exact.
final class Durations {
  private static final double PICOS = 1000;

  private final Fabric fabric;
  private final boolean inPlace;
  private final long workingSet;
  private final double copy;
  private final double join;
  private final double[] read;
  private final double[] send;
  final long start;
  final long step;

  Durations(Fabric fabric, CollectiveRequest request) {
    this.fabric = fabric;
    this.inPlace = request.inPlace();
    long buffers =
        request.kind() == CollectiveKind.SEND_RECEIVE
            ? request.total()
            : Math.max(request.inputElements(0), request.outputElements(0));
    long ranksOfHost = Math.min(request.ranks(), fabric.levels().getFirst().ranks());
    this.workingSet = buffers * request.dtype().bytes() * ranksOfHost;
    this.copy = fabric.compute().copy().nanosPerByte(workingSet);
    this.join = fabric.compute().join().nanosPerByte(workingSet);
    this.read =
        fabric.levels().stream().mapToDouble(l -> l.read().nanosPerByte(workingSet)).toArray();
    this.send =
        fabric.levels().stream().mapToDouble(l -> l.bandwidth().nanosPerByte(workingSet)).toArray();
    this.start = picos(fabric.compute().startNanos());
    this.step = picos(fabric.compute().stepNanos());
  }

  static long picos(double nanos) {
    return Math.round(nanos * PICOS);
  }

  byte level(int rank, int peer) {
    return (byte) fabric.level(rank, peer);
  }

  long messageLatency(int level, long bytes) {
    Level link = fabric.levels().get(level);
    return Math.max(1, picos(bytes <= link.shortBytes() ? link.shortNanos() : link.messageNanos()));
  }

  long signalLatency(int level) {
    return Math.max(1, picos(fabric.levels().get(level).signalNanos()));
  }

  /// Returns how long a rank's link is taken by a message.
  ///
  /// @param users ranks that share the uplink at that level
  long wire(int level, long bytes, long users) {
    return picos(bytes * Math.max(send[level], shareNanos(level, users)));
  }

  /// Returns how long a message takes a rank's thread that moves it.
  long moving(int level, long bytes) {
    return picos(bytes * send[level]);
  }

  /// Returns how long a rank's share of the uplink carries a message, 0 where there is none.
  long carried(int level, long bytes, long users) {
    return picos(bytes * shareNanos(level, users));
  }

  private double shareNanos(int level, long users) {
    double uplink = fabric.levels().get(level).uplinkBytesPerSecond();
    return uplink > 0 ? 1e9 * users / uplink : 0;
  }

  /// Returns the time to join an arrived message into what is there.
  long joinArrived(long bytes) {
    return picos(3 * bytes * join);
  }

  boolean movesMessages() {
    return fabric.compute().movesMessages();
  }

  long copy(int rank, Range from, long bytes) {
    return from.rank() == rank
        ? picos(bytes * copy)
        : peerLatency(rank, from) + picos(bytes * read[level(rank, from.rank())]);
  }

  /// Sources of this rank and the result at the rate of joins; a peer's sources at the rate at
  /// which its memory is read, if that is slower.
  long reduce(int rank, Range to, JoinTree tree, int elementBytes) {
    double bytes = (double) to.elements() * elementBytes;
    double[] nanos = {tree instanceof JoinTree.Leaf ? 0 : bytes * join};
    long[] latency = {0};
    boolean copies = tree instanceof JoinTree.Leaf;
    tree.forEachSource(
        source -> {
          if (source.rank() == rank) {
            nanos[0] += copies ? (source.equals(to) ? 0 : bytes * copy) : bytes * join;
          } else {
            double foreign = read[level(rank, source.rank())];
            nanos[0] += copies ? bytes * foreign : bytes * Math.max(join, foreign);
            latency[0] = Math.max(latency[0], peerLatency(rank, source));
          }
        });
    return latency[0] + picos(nanos[0]);
  }

  /// As a reduction to this rank; the lines of each other result come from its rank at the rate of
  /// reading there, unless it lies on a source, whose lines have come already.
  long spread(int rank, List<Range> to, JoinTree tree, int elementBytes) {
    Set<Integer> here = new HashSet<>();
    tree.forEachSource(
        source -> {
          if (inPlace && source.space().equals(new Space.Input(0))) {
            here.add(source.rank());
          }
        });
    long total = reduce(rank, to.getFirst(), tree, elementBytes);
    for (Range result : to.subList(1, to.size())) {
      double bytes = (double) result.elements() * elementBytes;
      double foreign = read[level(rank, result.rank())];
      total += picos(bytes * (here.contains(result.rank()) ? Math.min(join, foreign) : foreign));
    }
    return total;
  }

  /// Each line comes from the peer once, to be written where it has come from.
  long swap(int rank, Range theirs, long bytes) {
    double foreign = Math.max(copy, read[level(rank, theirs.rank())]);
    return peerLatency(rank, theirs) + picos(bytes * (foreign + copy));
  }

  long divide(long bytes) {
    return picos(2 * bytes * join);
  }

  /// The first line of a peer's memory comes from its cache, which takes as long as a signal.
  private long peerLatency(int rank, Range range) {
    return range.elements() == 0 ? 0 : signalLatency(level(rank, range.rank()));
  }
}
