package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import java.util.Arrays;

/// Who is there: asks the ranks that links wait for, answers those that ask, says farewell. Used
/// under the transport's lock.
final class Peers {
  /// Says a word without a body to a peer.
  @FunctionalInterface
  interface Voice {
    /// Returns whether it was taken.
    boolean say(int peer, int kind);
  }

  /// A power of two.
  private static final int LOOKS_PER_TIME = 16;

  private final String transport;
  private final String unheard;
  private final Links links;
  private final Voice voice;
  private final Peer[] peers;
  private long listenedAt = System.nanoTime();
  private int looks;
  private boolean answers;
  private boolean leaves;

  /// @param unheard what to look at where a peer never said anything, in brackets or empty
  Peers(String transport, String unheard, int ranks, Links links, Voice voice) {
    this.transport = transport;
    this.unheard = unheard;
    this.links = links;
    this.voice = voice;
    this.peers = new Peer[ranks];
    Arrays.setAll(peers, Peer::new);
  }

  Peer peer(int rank) {
    return peers[rank];
  }

  /// Notes how a peer is reached: from now on it may be told something.
  ///
  /// @throws TransportException if it is there and was reached otherwise before: somebody else has
  ///   spoken for it
  void met(int rank, long[] addresses) {
    Peer peer = peers[rank];
    long[] known = peer.addresses();
    if (known != null && !peer.left && !Arrays.equals(known, addresses)) {
      throw new TransportException(
          "rank " + rank,
          "peer names another endpoint than before: transport=%s, peer=%d"
              .formatted(transport, rank),
          null);
    }
    if (leaves && peer.addresses() == null) {
      peer.byeWanted = !peer.left;
      answers = true;
    }
    peer.addresses(addresses);
  }

  /// Returns whether there is such a rank.
  boolean isPeer(int rank) {
    return rank >= 0 && rank < peers.length;
  }

  /// Notes that what peers say is read now. The clock takes as long as much of a look does: it is
  /// asked at one in so many, and what is noted is at worst too old.
  void listen() {
    if ((++looks & (LOOKS_PER_TIME - 1)) == 0) {
      listenedAt = System.nanoTime();
    }
  }

  /// Returns whether what peers say was read so lately that none which took back its memory since
  /// has stopped waiting for this rank's word.
  boolean wereJustHeard() {
    return System.nanoTime() - listenedAt < Peer.PATIENCE_NANOS / 2;
  }

  /// Notes that a peer is alive.
  void hear(int rank) {
    peers[rank].heard = true;
    peers[rank].everHeard = true;
  }

  /// Breaks all links with a peer: it is dead.
  void lost(int rank, RuntimeException cause) {
    peers[rank].left = true;
    peers[rank].silent = true;
    peers[rank].byeSeenWanted = false;
    links.lost(rank, cause);
  }

  /// Breaks all links.
  void allLost(RuntimeException cause) {
    for (Peer peer : peers) {
      lost(peer.rank(), cause);
    }
  }

  /// Notes what a peer said about itself.
  void told(int kind, int rank) {
    if (!isPeer(rank)) {
      return;
    }
    Peer peer = peers[rank];
    switch (kind) {
      case Wire.PING, Wire.PONG -> {
        hear(rank);
        peer.pongWanted |= kind == Wire.PING;
        answers |= peer.pongWanted;
      }
      case Wire.BYE, Wire.BYE_SEEN -> leave(peer, kind == Wire.BYE);
      default -> {}
    }
  }

  /// Asks the peers that links wait for whether they are there, and has links that stand still ask
  /// their other ends.
  ///
  /// @param most how often in a row a peer may fail to answer
  void ask(int most) {
    markAwaited();
    links.ask();
    for (Peer peer : peers) {
      if (peer.addresses() == null || peer.left || peer.dismissed) {
        continue;
      }
      if (!peer.awaited) {
        peer.heard = true;
        continue;
      }
      if (peer.heard) {
        peer.silences = 0;
        peer.heard = false;
        peer.pingWanted = true;
        answers = true;
      } else if (++peer.silences > most) {
        lost(
            peer.rank(),
            new TransportException(
                "rank " + peer.rank(),
                "peer does not answer: transport=%s, peer=%d, unansweredQuestions=%d%s"
                    .formatted(
                        transport, peer.rank(), peer.silences, peer.everHeard ? "" : unheard),
                null));
      } else {
        peer.pingWanted = true;
        answers = true;
      }
    }
  }

  private void markAwaited() {
    for (Peer peer : peers) {
      peer.awaited = false;
    }
    for (int place = 0; place < links.places(); place++) {
      FabricLink link = links.at(place);
      if (link != null && link.isWaiting()) {
        peers[link.peer()].awaited = true;
      }
    }
  }

  /// Says to peers what [#ask], [#sayBye] and their questions ask for, as far as there is room.
  void answer() {
    if (!answers) {
      return;
    }
    boolean all = true;
    for (Peer peer : peers) {
      if (!peer.left && !peer.dismissed) {
        peer.pongWanted = peer.pongWanted && !say(peer, Wire.PONG);
        peer.pingWanted = peer.pingWanted && !say(peer, Wire.PING);
        peer.byeWanted = peer.byeWanted && !dismiss(peer, Wire.BYE);
        all &= !peer.pongWanted && !peer.pingWanted && !peer.byeWanted;
      }
      if (peer.byeSeenWanted && dismiss(peer, Wire.BYE_SEEN)) { // or it was lost on the way
        peer.byeSeenWanted = false;
      }
      all &= !peer.byeSeenWanted;
    }
    answers = !all;
  }

  /// Says this rank's last word to a peer, which may close its endpoint as soon as it has come.
  private boolean dismiss(Peer peer, int kind) {
    if (!say(peer, kind)) {
      return false;
    }
    peer.dismissed = true;
    links.mute(peer.rank());
    return true;
  }

  private boolean say(Peer peer, int kind) {
    return peer.addresses() != null && voice.say(peer.rank(), kind);
  }

  /// Tells every peer that this rank will say nothing more, which a peer in the same process must
  /// know before the endpoint goes: `shm` of 1.17 touches the memory of a closed one. A peer whose
  /// greeting is still due is told as soon as it has come.
  void sayBye() {
    leaves = true;
    for (Peer peer : peers) {
      peer.byeWanted = peer.addresses() != null && !peer.left;
      peer.silent |= !peer.byeWanted && (peer.left || !peer.mayGreet);
    }
    answers = true;
  }

  /// Returns whether every peer has left or knows that this rank does, and has heard its last word.
  boolean isForgotten() {
    for (Peer peer : peers) {
      if (!peer.silent || peer.byeSeenWanted) {
        return false;
      }
    }
    return true;
  }

  /// Notes that a peer leaves, or that it has seen this rank leave.
  private void leave(Peer peer, boolean bye) {
    // Where both farewells cross each is the other's answer.
    peer.byeSeenWanted = bye && !peer.dismissed;
    peer.silent = true;
    peer.left = true;
    answers |= peer.byeSeenWanted;
    links.mute(peer.rank());
  }
}
