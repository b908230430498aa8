package dev.lockstep.transport.efa;

import dev.lockstep.failure.TransportException;
import dev.lockstep.interrupt.Pause;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.MismatchedEnvelopeException;
import dev.lockstep.transport.Transfer;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// What both ends of a link share: the queue of posted transfers and the way to the end.
abstract class FabricLink implements Link {
  static final int QUEUE = 256;
  static final int MASK = QUEUE - 1;

  /// Frames of a link that may be under way unread.
  static final int WINDOW = 16;

  /// Bytes of both envelopes of a mismatch.
  static final int ENVELOPES = 2 * Envelope.BYTES;

  private static final long PAUSE_NANOS = TimeUnit.MICROSECONDS.toNanos(50);

  final Engine engine;
  private final int peer;
  private final int communicator;
  private final @Nullable Transfer[] queue = new Transfer[QUEUE];

  /// Number of the first message that is not complete.
  long head;

  /// Number of the next message to be posted.
  long tail;

  /// Whether this is on the list of links with something to say.
  boolean listed;

  /// Whether the peer cannot be told anything any more.
  boolean mute;

  @Nullable RuntimeException failure;
  boolean closed;

  /// Whether it is given up, and since when its peer has had time to answer.
  private boolean abandoned;

  private long abandonedAt;

  FabricLink(Engine engine, int peer, int communicator) {
    this.engine = engine;
    this.peer = peer;
    this.communicator = communicator;
  }

  abstract boolean sends();

  /// Moves transfers; for the thread that drives the link.
  ///
  /// @return amount of work done
  abstract int advance();

  /// Says what there is to say, as far as there is room.
  ///
  /// @return whether nothing is left
  abstract boolean saysAll();

  /// Returns whether posting a transfer may write a peer's memory, which the peer may have taken
  /// back meanwhile: what it has said is read before.
  abstract boolean mayWriteWith(Transfer transfer);

  /// Returns whether memory of transfers that have failed may still be touched.
  abstract boolean touchesMemory();

  /// Asks the other end where it stands, if this one waits for it and nothing has come since this
  /// was called last.
  abstract void ask();

  /// Has the wire refuse whoever touches memory that failed transfers have lent.
  abstract void revoke();

  /// What [#close] does first, once.
  abstract void leave();

  /// Gives back what a closed link has no use for any more, the link itself among it; the rest
  /// later.
  abstract void giveBack();

  /// Frees memory of the link; the endpoint is closed.
  abstract void free();

  @Override
  public final int peer() {
    return peer;
  }

  @Override
  public final int communicator() {
    return communicator;
  }

  @Override
  public final int post(Transfer transfer) {
    if (transfer.isSend() != sends()) {
      throw new IllegalArgumentException(
          "transfer does not fit its end of the link: sends=%s, linkSends=%s"
              .formatted(transfer.isSend(), sends()));
    }
    engine.hold();
    try {
      if (failure == null && mayWriteWith(transfer) && !engine.peers().wereJustHeard()) {
        int _ = engine.progress();
      }
      if (failure != null) {
        transfer.failed(failure);
        return CLOSED;
      }
      if (tail - head == QUEUE) {
        return BACK_PRESSURED;
      }
      transfer.posted();
      transfer.envelope().length = transfer.bytes();
      queue[(int) tail++ & MASK] = transfer;
      advance();
      engine.flush();
      return ACCEPTED;
    } finally {
      engine.letGo();
    }
  }

  @Override
  public final int poll() {
    if (head == tail || !engine.tryHold()) {
      return 0;
    }
    try {
      int work = engine.progress() + advance();
      engine.flush();
      return work;
    } finally {
      engine.letGo();
    }
  }

  /// Returns the transfer of a message that is posted.
  final Transfer transfer(long message) {
    Transfer transfer = queue[(int) message & MASK];
    if (transfer == null) {
      throw new AssertionError("message is not posted: message=" + message);
    }
    return transfer;
  }

  /// Takes the first transfer off the queue: it is complete.
  final void complete(Transfer transfer) {
    queue[(int) head++ & MASK] = null;
    transfer.done();
  }

  /// Returns whether a transfer waits for the peer.
  final boolean isWaiting() {
    return head < tail && failure == null;
  }

  /// Fails what is posted, if the link has failed; for the thread that drives the link.
  final void failPosted() {
    RuntimeException cause = failure;
    while (cause != null && head < tail) {
      Transfer transfer = transfer(head);
      queue[(int) head++ & MASK] = null;
      transfer.failed(cause);
    }
  }

  /// Breaks the link because the peer or the endpoint is gone. Transfers fail at the next poll, but
  /// for those whose messages are here.
  abstract void lost(RuntimeException cause);

  /// Breaks the link for a reason of this end, which the peer is told.
  abstract void breakHere(RuntimeException cause);

  final TransportException broken(String what) {
    return new TransportException(
        "rank " + peer,
        "%s: transport=%s, rank=%d, %s=%d, communicator=%d"
            .formatted(
                what,
                engine.transport(),
                engine.rank(),
                sends() ? "to" : "from",
                peer,
                communicator),
        null);
  }

  final MismatchedEnvelopeException mismatched(Envelope expected, Envelope arrived) {
    Envelope waited = new Envelope();
    waited.set(expected);
    Envelope came = new Envelope();
    came.set(arrived);
    return new MismatchedEnvelopeException(
        peer,
        waited,
        came,
        "message is not the expected one: rank=%d, peer=%d, expectedSequence=%d, arrivedSequence=%d, expectedBytes=%d, arrivedBytes=%d (call the same collectives in the same order on every rank)"
            .formatted(
                engine.rank(), peer, waited.sequence, came.sequence, waited.length, came.length));
  }

  /// Sends a frame with two envelopes and one number more behind them.
  final boolean sayBoth(
      MismatchedEnvelopeException mismatch, int kind, int to, long number, long last) {
    int frame = engine.outgoing().claim();
    if (frame < 0) {
      return false;
    }
    MemorySegment frames = engine.outgoing().segment();
    long body = engine.outgoing().body(frame);
    mismatch.expected().write(frames, body);
    mismatch.arrived().write(frames, body + Envelope.BYTES);
    frames.set(Wire.LONG, body + ENVELOPES, last);
    return engine.send(frame, peer, kind, to, ENVELOPES + Long.BYTES, number, head);
  }

  /// Sends a frame without a body.
  final boolean say(int kind, int to, long number, long message) {
    int frame = engine.outgoing().claim();
    return frame >= 0 && engine.send(frame, peer, kind, to, 0, number, message);
  }

  /// Sends a frame whose body is one number more.
  final boolean say(int kind, int to, long number, long message, long body) {
    int frame = engine.outgoing().claim();
    if (frame < 0) {
      return false;
    }
    engine.outgoing().segment().set(Wire.LONG, engine.outgoing().body(frame), body);
    return engine.send(frame, peer, kind, to, Long.BYTES, number, message);
  }

  /// Tells the other end, whose time to answer begins.
  @Override
  public final void beginAbandon() {
    close();
    try {
      engine.hold();
    } catch (TransportException stuck) {
      return; // as in close
    }
    try {
      if (!abandoned) {
        abandoned = true;
        abandonedAt = System.nanoTime();
        if (engine.isOpen() && touchesMemory()) {
          boolean _ = isWaitedFor(abandonedAt);
        }
      }
    } finally {
      engine.letGo();
    }
  }

  /// Waits a little for the other end's word that it touches nothing any more.
  @Override
  public final void abandon() {
    beginAbandon();
    try (Pause pause = new Pause()) {
      while (!isLeftAlone()) {
        pause.park(PAUSE_NANOS);
      }
    } catch (TransportException stuck) {
      // Whoever is inside libfabric has the transfers too.
    }
  }

  private boolean isLeftAlone() {
    engine.hold();
    try {
      if (!engine.isOpen()) {
        return true;
      }
      int _ = engine.progress();
      if (touchesMemory()) {
        if (!mute && isWaitedFor(System.nanoTime())) {
          return false;
        }
        revoke();
      }
      return true;
    } finally {
      engine.letGo();
    }
  }

  private boolean isWaitedFor(long now) {
    return now - abandonedAt < Peer.PATIENCE_NANOS && engine.peers().peer(peer).isWaitedFor(now);
  }

  @Override
  public final void close() {
    try {
      engine.hold();
    } catch (TransportException stuck) {
      return; // whoever is inside libfabric has the transfers too
    }
    try {
      if (closed) {
        return;
      }
      closed = true;
      leave();
      failPosted();
      giveBack();
      engine.flush();
    } finally {
      engine.letGo();
    }
  }
}
