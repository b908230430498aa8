package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/// What arrives at an endpoint, and whose it is. Used under the transport's lock.
final class Arrivals {
  private final Engine engine;
  private final Links links;
  private final Peers peers;
  private final IncomingFrames incoming;
  private final long job;

  Arrivals(Engine engine, Links links, Peers peers, IncomingFrames incoming, long job) {
    this.engine = engine;
    this.links = links;
    this.peers = peers;
    this.incoming = incoming;
    this.job = job;
  }

  /// Takes a frame that arrived in the memory of a posted receive.
  void frame(int receive, long bytes) {
    boolean kept = false;
    if (!incoming.isWhole(receive, bytes, engine.crc())) {
      frameDamaged(bytes);
    } else if (Wire.isOf(incoming.segment(receive), incoming.offset(receive), job)) {
      kept = deliver(receive);
    }
    if (!kept) {
      incoming.recycle(receive);
    }
  }

  /// Takes the payload of a bare frame; what it is shows when its turn comes.
  void bareFrame(int receive, long bytes, long immediate) {
    ReceiveLink receiver = links.receivers().at(Wire.placeOf(immediate));
    boolean isKnown = receiver != null && Wire.isFor(receiver.number(), immediate);
    ReceiveLink heard = heard(isKnown ? receiver : null);
    if (heard == null || !heard.bareArrived(receive, (int) bytes, immediate)) {
      incoming.recycle(receive);
    }
  }

  /// Nobody sends a frame again, and whose it was is written where it may be damaged: all links
  /// break, since one of them would wait for good.
  private void frameDamaged(long bytes) {
    links.breakAll(
        new TransportException(
            "local",
            "frame arrived damaged: transport=%s, rank=%d, frameBytes=%d (check the cables, cards and memory of this host and of its peers)"
                .formatted(engine.transport(), engine.rank(), bytes),
            null));
  }

  /// Returns whether the frame is kept until its turn comes.
  private boolean deliver(int receive) {
    MemorySegment frame = incoming.segment(receive);
    long at = incoming.offset(receive);
    int link = Wire.link(frame, at);
    int kind = Wire.kind(frame, at);
    switch (kind) {
      case Wire.FIRST, Wire.NEXT, Wire.ANNOUNCE, Wire.CLOSE -> {
        ReceiveLink receiver = heard(links.receivers().get(link));
        return receiver != null && receiver.arrived(receive, Wire.number(frame, at));
      }
      case Wire.HELLO, Wire.DISPUTE, Wire.GONE_SEEN, Wire.SENT, Wire.MEANT -> {
        ReceiveLink receiver = links.receivers().get(link);
        if (receiver != null) {
          receiver.told(kind, frame, at);
        } else if (kind == Wire.HELLO && links.receivers().had(link)) {
          turnAway(frame, at);
        }
      }
      case Wire.GRANT, Wire.CREDIT, Wire.GONE, Wire.REFUSE, Wire.ASK, Wire.TAKEN, Wire.DOUBT -> {
        SendLink sender = links.senders().get(link);
        if (sender != null) {
          peers.hear(sender.peer());
          sender.told(kind, frame, at);
        } else if ((kind == Wire.GONE || kind == Wire.REFUSE) && links.senders().had(link)) {
          confirmAgain(frame, at);
        }
      }
      case Wire.PING, Wire.PONG, Wire.BYE, Wire.BYE_SEEN -> peers.told(kind, link);
      default -> {}
    }
    return false;
  }

  /// Tells a sender that has come for a link which was closed before. Where there is no room to say
  /// so it greets again.
  private void turnAway(MemorySegment frame, long at) {
    try {
      byte[] body =
          frame
              .asSlice(at + Wire.HEADER_BYTES, Wire.bytes(frame, at))
              .toArray(ValueLayout.JAVA_BYTE);
      LinkAddress.Greeting late = LinkAddress.Greeting.decode(body);
      if (!peers.isPeer(late.rank())) {
        return;
      }
      Peer peer = peers.peer(late.rank());
      engine.insert(late.rank(), late.names());
      int answer = peer.left || peer.dismissed ? -1 : engine.outgoing().claim();
      if (answer >= 0) {
        var _ = engine.send(answer, late.rank(), Wire.GONE, late.link(), 0, 0, 0);
      }
    } catch (TransportException strange) {
      // Nobody here waits for it.
    }
  }

  /// Tells a receiver that has left that a link which was closed before writes no more. How much it
  /// has written nobody knows.
  private void confirmAgain(MemorySegment frame, long at) {
    int before = Wire.bytes(frame, at) - Long.BYTES;
    if (before < 0) {
      return; // of one that never knew its sender
    }
    long receiver = frame.get(Wire.LONG, at + Wire.HEADER_BYTES + before);
    int rank = (int) (receiver >>> Integer.SIZE);
    if (!peers.isPeer(rank) || peers.peer(rank).left || peers.peer(rank).dismissed) {
      return;
    }
    int answer = engine.outgoing().claim();
    if (answer >= 0) {
      long question = Wire.number(frame, at);
      var _ = engine.send(answer, rank, Wire.GONE_SEEN, (int) receiver, 0, Wire.UNKNOWN, question);
    }
  }

  /// Notes that the peer of a receiving end is alive.
  private @Nullable ReceiveLink heard(@Nullable ReceiveLink receiver) {
    if (receiver != null) {
      peers.hear(receiver.peer());
    }
    return receiver;
  }

  /// Counts a segment of a peer that has arrived whole.
  void segment(long immediate) {
    ReceiveLink receiver = heard(links.receivers().at(Wire.placeOf(immediate)));
    if (receiver != null) {
      receiver.segmentArrived(immediate);
    }
  }

  /// Breaks the links that wait for a segment which the provider has given up, as
  /// [RailEvents#segmentLost].
  void segmentLost(int error, String words, long bytes, long immediate) {
    if (!links.hasWriter()) {
      return; // nobody waits for it
    }
    // Few providers say whose it was: `udp;ofi_rxd` of 1.17 has only its flags and bytes.
    int place = Wire.placeOf(immediate);
    ReceiveLink named = immediate == 0 ? null : links.receivers().at(place);
    int peer = named == null ? links.onlyWriter() : named.peer();
    String endpoint = peer < 0 ? "local" : "rank " + peer;
    String said = "a segment was cut after %d bytes: %s".formatted(bytes, words);
    TransportException cause =
        engine.failures().ofCompletion("fi_writedata of a peer", endpoint, error, said);
    if (peer < 0) {
      engine.endpointFailed(cause);
    } else {
      peers.lost(peer, cause);
    }
  }
}
