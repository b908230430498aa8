package dev.lockstep.transport.aeron;

import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.Transfer;
import io.aeron.ExclusivePublication;
import io.aeron.Publication;
import io.aeron.exceptions.AeronException;
import io.aeron.logbuffer.BufferClaim;
import io.aeron.protocol.DataHeaderFlyweight;
import java.lang.foreign.MemorySegment;
import org.agrona.concurrent.UnsafeBuffer;
import org.jspecify.annotations.Nullable;

/// Sending end: claims frames in the publication's log and copies envelope and payload straight
/// into them.
final class AeronSendLink extends AeronLink {
  /// So few that what has come meanwhile is read while it is in the cache.
  private static final int FRAMES_PER_POLL = 2;

  private final Sessions sessions;
  private final AeronEngine engine;
  private final BufferClaim claim = new BufferClaim();
  private final long lastTerm;
  private ExclusivePublication publication;

  /// The log that comes next, once it is there.
  private @Nullable ExclusivePublication following;

  private boolean isBetweenLogs;
  private boolean envelopeSent;

  /// Makes the end.
  ///
  /// @param publication the first log
  /// @param sessions opens those that follow
  AeronSendLink(
      int peer,
      int communicator,
      ExclusivePublication publication,
      Sessions sessions,
      AeronEngine engine) {
    super(peer, communicator);
    this.publication = publication;
    this.sessions = sessions;
    this.lastTerm = Sessions.lastTerm(publication.termBufferLength());
    this.engine = engine;
    setMtu(publication.maxPayloadLength() + DataHeaderFlyweight.HEADER_LENGTH);
  }

  @Override
  boolean sends() {
    return true;
  }

  @Override
  public int poll() {
    if (isBetweenLogs && !hasNextLog()) {
      return 0;
    }
    int frames = 0;
    while (frames < FRAMES_PER_POLL && !queue.isEmpty() && sendFrame(queue.peekFirst())) {
      frames++;
      int _ = engine.turn();
    }
    return frames;
  }

  private boolean sendFrame(Transfer transfer) {
    MemorySegment source;
    try {
      source = transfer.source().region().segment();
    } catch (IllegalStateException memoryIsClosed) {
      breakLink(memoryIsClosed);
      return false;
    }
    int payload = payloadOf(transfer.bytes() - transfer.progress);
    int header = envelopeSent ? 0 : Envelope.BYTES;
    long position = publication.tryClaim(header + payload, claim);
    if (position < 0) {
      return refused(position);
    }
    UnsafeBuffer frame = (UnsafeBuffer) claim.buffer();
    TermView term = viewOf(frame);
    MemorySegment log = term.segment();
    long at = offsetInLog(frame, DataHeaderFlyweight.HEADER_LENGTH);
    if (header > 0) {
      transfer.envelope().write(log, at);
      envelopeSent = true;
    }
    MemorySegment.copy(
        source, transfer.source().offset() + transfer.progress, log, at + header, payload);
    claim.reservedValue(checksum(term, at, header + payload)).commit();
    transfer.progress += payload;
    if (transfer.progress == transfer.bytes()) {
      envelopeSent = false;
      completeHead();
    }
    if (position > lastTerm) {
      endLog();
      return false;
    }
    return true;
  }

  private boolean refused(long position) {
    if (position == Publication.BACK_PRESSURED || position == Publication.ADMIN_ACTION) {
      return false;
    }
    breakLink(
        lost(
            position == Publication.NOT_CONNECTED
                ? "peer has left the link"
                : "link is closed: aeron=" + Publication.errorString(position)));
    return false;
  }

  /// The log that ends stays open until its receiver takes from the next one: it tells whether the
  /// peer is there.
  private void endLog() {
    isBetweenLogs = true;
    try {
      sessions.open(0);
    } catch (AeronException closed) {
      breakLink(lost("next log cannot be opened: aeron=" + closed.getMessage()));
    }
  }

  /// Returns whether the next log is there and its receiver takes from it.
  private boolean hasNextLog() {
    ExclusivePublication next = following;
    try {
      if (next == null) {
        next = sessions.publication();
        following = next;
      }
    } catch (AeronException | IllegalArgumentException refused) {
      breakLink(lost("next log cannot be opened: aeron=" + refused.getMessage()));
      return false;
    }
    if (next != null && next.isConnected()) {
      publication.close(); // the driver still delivers what is in it
      publication = next;
      following = null;
      isBetweenLogs = false;
      return true;
    }
    if (!publication.isConnected()) {
      breakLink(lost("peer has left the link"));
    }
    return false;
  }

  /// Returns whether a log has ended and its receiver does not take from the next one yet, for
  /// tests.
  boolean isBetweenLogs() {
    return isBetweenLogs;
  }

  @Override
  void free() {
    sessions.abandon();
    publication.close();
    if (following != null) {
      following.close();
    }
  }
}
