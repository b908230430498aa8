package dev.lockstep.transport.aeron;

import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.Transfer;
import io.aeron.ExclusivePublication;
import io.aeron.Publication;
import io.aeron.logbuffer.BufferClaim;
import io.aeron.protocol.DataHeaderFlyweight;
import java.lang.foreign.MemorySegment;
import org.agrona.concurrent.UnsafeBuffer;

/// Sending end: claims frames in the publication's log and copies envelope and payload straight
/// into them.
final class AeronSendLink extends AeronLink {
  /// So few that what has come meanwhile is read while it is in the cache.
  private static final int FRAMES_PER_POLL = 2;

  private final ExclusivePublication publication;
  private final AeronEngine engine;
  private final BufferClaim claim = new BufferClaim();
  private boolean envelopeSent;

  AeronSendLink(int peer, int communicator, ExclusivePublication publication, AeronEngine engine) {
    super(peer, communicator);
    this.publication = publication;
    this.engine = engine;
    setMtu(publication.maxPayloadLength() + DataHeaderFlyweight.HEADER_LENGTH);
  }

  @Override
  boolean sends() {
    return true;
  }

  @Override
  public int poll() {
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

  @Override
  void free() {
    publication.close();
  }
}
