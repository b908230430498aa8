package dev.lockstep.transport.ring;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.MismatchedEnvelopeException;
import dev.lockstep.transport.Reducer;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// The end that checks frames and applies their payload straight from the ring.
final class RingReceiver extends RingLink {
  private final Envelope arrived = new Envelope();
  private long position;
  private boolean started;

  RingReceiver(Ring ring, SharedArea area, int peer, int communicator, RingCounters counters) {
    super(ring, area, peer, communicator, counters);
  }

  @Override
  boolean sends() {
    return false;
  }

  @Override
  long move(Transfer transfer) {
    int kind = ring.committed(position);
    if (kind == 0) {
      return 0;
    }
    long untilEnd = ring.untilEnd(position);
    if (kind == Ring.PAD) {
      return advance(untilEnd);
    }
    int overhead = kind == Ring.FIRST ? Ring.FIRST_OVERHEAD : Ring.NEXT_OVERHEAD;
    long at = ring.offset(position);
    int length = ring.length(at);
    if (kind != (started ? Ring.NEXT : Ring.FIRST)
        || length < 0
        || overhead + (long) length > untilEnd) {
      return corrupt("frame is impossible", kind, length);
    }
    int checksum = ring.crc(at + overhead, length);
    if (!started) {
      int payload = checksum;
      checksum = ring.crcAppend(at + Ring.NEXT_OVERHEAD, Envelope.BYTES);
      if (checksum == ring.checksum(at)) {
        if (!arrived.read(ring.segment(), at + Ring.NEXT_OVERHEAD) || arrived.crc32c != payload) {
          return corrupt("envelope is unknown", kind, length);
        }
        if (!arrived.matches(transfer.envelope())) {
          return mismatched(transfer.envelope());
        }
      }
    }
    if (checksum != ring.checksum(at)) {
      return corrupt("checksum is wrong", kind, length);
    }
    long remaining = transfer.bytes() - transfer.progress;
    if (length > remaining || (length == 0 && remaining > 0)) {
      return corrupt("frame is longer than its message", kind, length);
    }
    apply(transfer, at + overhead, length);
    started = true;
    transfer.progress += length;
    if (length == remaining) {
      started = false;
      counters.received(transfer.bytes());
      complete(transfer);
    }
    return advance(Ring.aligned(overhead + (long) length));
  }

  /// Frames are cut at multiples of 16 bytes, so that no element is torn.
  private void apply(Transfer transfer, long at, int length) {
    Sink sink = transfer.sink();
    Registration target = sink.target();
    if (length == 0) {
      return;
    }
    long to = target.offset() + transfer.progress;
    MemorySegment into = target.region().segment();
    if (sink instanceof Sink.Reduce reduce) {
      int size = reduce.dtype().bytes();
      Reducer.reduce(reduce.op(), reduce.dtype(), into, to, ring.segment(), at, length / size);
    } else {
      MemorySegment.copy(ring.segment(), at, into, to, length);
    }
  }

  private long advance(long bytes) {
    position += bytes;
    ring.consumed(position);
    return bytes;
  }

  private long corrupt(String what, int kind, int length) {
    ring.receiverState(Ring.CORRUPT);
    fail(
        broken(
            "%s: position=%d, kind=%x, length=%d".formatted(what, position, kind, length), null));
    return 0;
  }

  private long mismatched(Envelope expected) {
    ring.mismatched(expected, arrived);
    Envelope waited = copy(expected);
    Envelope got = copy(arrived);
    fail(
        new MismatchedEnvelopeException(
            peer(), waited, got, mismatch("another message arrived", peer(), waited, got)));
    return 0;
  }

  private static Envelope copy(Envelope of) {
    var copy = new Envelope();
    copy.set(of);
    return copy;
  }

  /// Returns a sentence that names the fields which differ.
  static String mismatch(String what, int peer, Envelope mine, Envelope theirs) {
    var text = new StringBuilder(what).append(": peer=").append(peer);
    differ(text, "job", mine.job, theirs.job);
    differ(text, "epoch", mine.epoch, theirs.epoch);
    differ(text, "communicator", mine.communicator, theirs.communicator);
    differ(text, "sequence", mine.sequence, theirs.sequence);
    differ(text, "schedule", mine.schedule, theirs.schedule);
    differ(text, "step", mine.step, theirs.step);
    differ(text, "kind", mine.kind, theirs.kind);
    differ(text, "dtype", mine.dtype, theirs.dtype);
    differ(text, "reduceOp", mine.reduceOp, theirs.reduceOp);
    differ(text, "root", mine.root, theirs.root);
    differ(text, "count", mine.count, theirs.count);
    differ(text, "bytes", mine.length, theirs.length);
    return text.append(" (call the same collectives in the same order on every rank)").toString();
  }

  private static void differ(StringBuilder text, String field, long mine, long theirs) {
    if (mine != theirs) {
      text.append(", ").append(field).append('=').append(mine).append(" here and ").append(theirs);
      text.append(" there");
    }
  }

  @Override
  @Nullable RuntimeException otherSide() {
    // Closed, and nothing left that was sent before.
    return ring.senderState() == Ring.CLOSED && ring.committed(position) == 0
        ? broken("link was closed by its sender", null)
        : null;
  }

  @Override
  void sayClosed() {
    if (ring.receiverState() == Ring.OPEN) {
      ring.receiverState(Ring.CLOSED);
    }
  }
}
