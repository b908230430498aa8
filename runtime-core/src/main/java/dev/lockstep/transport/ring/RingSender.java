package dev.lockstep.transport.ring;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.MismatchedEnvelopeException;
import dev.lockstep.transport.Transfer;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// The end that cuts messages into frames.
final class RingSender extends RingLink {
  /// Largest frame: an eighth of the ring, so that both sides work at once.
  private final long largestFrame;

  /// A frame that must wait for room waits for this much: many small ones cost more.
  private final long worthwhile;

  private long position;
  private long consumed;
  private boolean started;

  RingSender(Ring ring, SharedArea area, int peer, int communicator, RingCounters counters) {
    super(ring, area, peer, communicator, counters);
    largestFrame = Math.max(256, ring.capacity() / 8);
    worthwhile = Math.max(256, ring.capacity() / 64);
  }

  @Override
  boolean sends() {
    return true;
  }

  @Override
  long move(Transfer transfer) {
    int overhead = started ? Ring.NEXT_OVERHEAD : Ring.FIRST_OVERHEAD;
    long untilEnd = ring.untilEnd(position);
    if (untilEnd < Ring.aligned(overhead)) {
      return pad(untilEnd);
    }
    long remaining = transfer.bytes() - transfer.progress;
    long wanted = Math.min(Ring.aligned(overhead + remaining), Math.min(untilEnd, largestFrame));
    long free = free(wanted);
    if (free < Math.min(wanted, worthwhile)) {
      return 0;
    }
    long frame = Math.min(wanted, free) & -Ring.LINE;
    int length = (int) Math.min(remaining, frame - overhead);
    frame = Ring.aligned(overhead + length);
    write(transfer, overhead, length);
    ring.commit(position, position + frame, started ? Ring.NEXT : Ring.FIRST);
    position += frame;
    started = true;
    transfer.progress += length;
    if (transfer.progress == transfer.bytes()) {
      started = false;
      counters.sent(transfer.bytes());
      complete(transfer);
    }
    return frame;
  }

  private void write(Transfer transfer, int overhead, int length) {
    long at = ring.offset(position);
    if (length > 0) {
      Registration source = transfer.source();
      MemorySegment.copy(
          source.region().segment(),
          source.offset() + transfer.progress,
          ring.segment(),
          at + overhead,
          length);
    }
    int checksum = ring.crc(at + overhead, length);
    if (!started) {
      Envelope envelope = transfer.envelope();
      envelope.crc32c = checksum;
      envelope.write(ring.segment(), at + Ring.NEXT_OVERHEAD);
      checksum = ring.crcAppend(at + Ring.NEXT_OVERHEAD, Envelope.BYTES);
    }
    ring.frame(at, length, checksum);
  }

  private long pad(long untilEnd) {
    if (free(untilEnd) < untilEnd) {
      return 0;
    }
    ring.commit(position, position + untilEnd, Ring.PAD);
    position += untilEnd;
    return untilEnd;
  }

  /// Returns the bytes that may be written now; the commit word behind them stays free.
  private long free(long wanted) {
    long limit = ring.capacity() - Ring.LINE;
    if (limit - (position - consumed) < wanted) {
      long seen = ring.consumed();
      if (seen < consumed || seen > position) {
        throw new IllegalStateException(
            "receiver's position is impossible: position=" + seen + ", sent=" + position);
      }
      consumed = seen;
    }
    return limit - (position - consumed);
  }

  @Override
  @Nullable RuntimeException otherSide() {
    int state = ring.receiverState();
    return switch (state) {
      case Ring.OPEN -> null;
      case Ring.CLOSED -> broken("link was closed by its receiver", null);
      case Ring.MISMATCHED -> mismatched();
      default -> broken("receiver got garbage, state=" + state, null);
    };
  }

  private MismatchedEnvelopeException mismatched() {
    Envelope sent = ring.arrived();
    Envelope wanted = ring.expected();
    return new MismatchedEnvelopeException(
        peer(),
        sent,
        wanted,
        RingReceiver.mismatch("receiver waits for another message", peer(), sent, wanted));
  }

  @Override
  void sayClosed() {
    ring.senderState(Ring.CLOSED);
  }
}
