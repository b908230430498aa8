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

  /// What a byte of a peer's memory takes, by what is done with it.
  private record Peer(
      double read, double fetch, double join, double spread, double write, double swap) {
    static Peer of(PeerRates rates, long workingSet) {
      return new Peer(
          rates.read().nanosPerByte(workingSet),
          rates.fetch().nanosPerByte(workingSet),
          rates.join().nanosPerByte(workingSet),
          rates.spread().nanosPerByte(workingSet),
          rates.write().nanosPerByte(workingSet),
          rates.swap().nanosPerByte(workingSet));
    }
  }

  private final Fabric fabric;
  private final CollectiveRequest request;
  private final long workingSet;
  private final double copy;
  private final double join;
  private final double[] send;
  private final Peer[] peers;
  final long start;
  final long step;

  Durations(Fabric fabric, CollectiveRequest request) {
    this.fabric = fabric;
    this.request = request;
    int ranksOfHost = (int) Math.min(request.ranks(), fabric.levels().getFirst().ranks());
    this.workingSet = buffers(request, ranksOfHost) * request.dtype().bytes();
    this.copy = fabric.compute().copy().nanosPerByte(workingSet);
    this.join = fabric.compute().join().nanosPerByte(workingSet);
    this.peers =
        fabric.levels().stream().map(l -> Peer.of(l.memory(), workingSet)).toArray(Peer[]::new);
    this.send =
        fabric.levels().stream().mapToDouble(l -> l.bandwidth().nanosPerByte(workingSet)).toArray();
    this.start = picos(fabric.compute().startNanos());
    this.step = picos(fabric.compute().stepNanos());
  }

  /// Returns the elements of the buffers of a host's ranks: each as many as the root, whose are the
  /// largest, where there is one. Of a send-receive a rank may have none; its rates are those of
  /// its messages' length, in place or not.
  private static long buffers(CollectiveRequest request, int ranksOfHost) {
    if (request.kind() == CollectiveKind.SEND_RECEIVE) {
      return request.total() * ranksOfHost;
    }
    if (request.root() >= 0 || request.counts().areEqual()) {
      return buffersOf(request, Math.max(0, request.root())) * ranksOfHost;
    }
    long most = 0;
    for (int first = 0; first < request.ranks(); first += ranksOfHost) {
      long elements = 0;
      for (int rank = first; rank < Math.min(request.ranks(), first + ranksOfHost); rank++) {
        elements += buffersOf(request, rank);
      }
      most = Math.max(most, elements);
    }
    return most;
  }

  private static long buffersOf(CollectiveRequest request, int rank) {
    long in = request.inputElements(rank);
    long out = request.outputElements(rank);
    return request.inPlace() ? Math.max(in, out) : in + out;
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

  /// A peer's output is written in this collective, its input before. To write what peers may have
  /// read of this rank's costs as much more.
  ///
  /// @param signalled whether peers may have read memory of this rank
  long copy(int rank, Range from, Range to, long bytes, boolean signalled) {
    if (from.rank() == rank) {
      Peer peer = peers[0];
      double dearer = signalled && isInput(to) ? Math.max(0, peer.fetch() - peer.read()) : 0;
      return picos(bytes * (copy + dearer));
    }
    Peer peer = peer(rank, from);
    boolean isResult = from.space().equals(new Space.Output());
    return peerLatency(rank, from) + picos(bytes * (isResult ? peer.fetch() : peer.read()));
  }

  private Peer peer(int rank, Range range) {
    return peers[level(rank, range.rank())];
  }

  /// Returns whether a range of an output, or of scratch, is a part of its rank's first input:
  /// peers have read it before it may be written.
  private boolean isInput(Range range) {
    int rank = range.rank();
    if (!request.inPlace()
        || request.inputs(rank) == 0
        || !range.space().equals(new Space.Output())) {
      return false;
    }
    long start = request.outputStart(rank) + range.offset();
    long input = request.inputStart(rank);
    return start < input + request.inputElements(rank) && input < start + range.elements();
  }

  /// Sources of this rank and the result at the rate of joins; a peer's sources at that of joining
  /// its memory.
  long reduce(int rank, Range to, JoinTree tree, int elementBytes) {
    double bytes = (double) to.elements() * elementBytes;
    double result = tree instanceof JoinTree.Leaf ? 0 : bytes * join;
    return picos(result) + sources(rank, to, tree, bytes);
  }

  private long sources(int rank, Range to, JoinTree tree, double bytes) {
    double[] nanos = {0};
    long[] latency = {0};
    boolean copies = tree instanceof JoinTree.Leaf;
    tree.forEachSource(
        source -> {
          if (source.rank() == rank) {
            nanos[0] += copies ? (source.equals(to) ? 0 : bytes * copy) : bytes * join;
          } else {
            Peer peer = peer(rank, source);
            nanos[0] += bytes * (copies ? peer.read() : peer.join());
            latency[0] = Math.max(latency[0], peerLatency(rank, source));
          }
        });
    return latency[0] + picos(nanos[0]);
  }

  /// As a reduction to this rank, where it gets the result, and then each other result: where it
  /// lies on a source, whose lines have come already, for less than elsewhere. What this rank does
  /// not keep goes as fast as what is read: its lines go the same way.
  long spread(int rank, List<Range> to, JoinTree tree, int elementBytes) {
    Set<Integer> here = new HashSet<>();
    boolean[] reads = {false};
    tree.forEachSource(
        source -> {
          reads[0] |= source.rank() != rank;
          if (request.inPlace() && source.space().equals(new Space.Input(0))) {
            here.add(source.rank());
          }
        });
    Range first = to.getFirst();
    double bytes = (double) first.elements() * elementBytes;
    long total = 0;
    if (first.rank() == rank) {
      total = reduce(rank, first, tree, elementBytes);
    } else if (tree instanceof JoinTree.Node) {
      total = sources(rank, first, tree, bytes);
    }
    long latency = 0;
    for (Range result : to) {
      if (result.rank() != rank) {
        Peer peer = peer(rank, result);
        double elsewhere = first.rank() == rank ? peer.write() : peer.read();
        double nanos = here.contains(result.rank()) ? peer.spread() : elsewhere;
        total += picos(bytes * nanos);
        latency = Math.max(latency, reads[0] ? 0 : peerLatency(rank, result));
      }
    }
    return latency + total;
  }

  long swap(int rank, Range theirs, long bytes) {
    return peerLatency(rank, theirs) + picos(bytes * peer(rank, theirs).swap());
  }

  long divide(long bytes) {
    return picos(2 * bytes * join);
  }

  /// The first line of a peer's memory comes from its cache, which takes as long as a signal.
  private long peerLatency(int rank, Range range) {
    return range.elements() == 0 ? 0 : signalLatency(level(rank, range.rank()));
  }
}
