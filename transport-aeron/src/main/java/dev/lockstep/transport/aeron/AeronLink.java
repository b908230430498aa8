package dev.lockstep.transport.aeron;

import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Transfer;
import io.aeron.protocol.DataHeaderFlyweight;
import java.util.ArrayDeque;
import java.util.zip.CRC32C;
import org.agrona.DirectBuffer;
import org.agrona.concurrent.UnsafeBuffer;
import org.jspecify.annotations.Nullable;

/// What both ends of a link share: the queue of posted transfers and the view of Aeron's mapped
/// log.
///
/// A message is a row of frames: the envelope with the first bytes of the payload, then the rest.
/// Frames are cut at multiples of 64 bytes of payload, so no element is ever split, and each
/// carries the CRC32C of its bytes in Aeron's reserved value: a frame is checked before it is
/// reduced into anything.
abstract class AeronLink implements Link {
  private static final int QUEUE = 256;
  private static final int CUT_BYTES = 64;

  private final int peer;
  private final int communicator;
  private int payloadPerFrame;
  private final CRC32C crc = new CRC32C();
  final ArrayDeque<Transfer> queue = new ArrayDeque<>(QUEUE);
  private final TermView.Cache views = new TermView.Cache();
  private @Nullable RuntimeException broken;
  private long messages;
  private long payloadBytes;
  private volatile boolean closed;

  AeronLink(int peer, int communicator) {
    this.peer = peer;
    this.communicator = communicator;
  }

  /// Takes note of the largest frame, which the sender has chosen.
  final void setMtu(int bytes) {
    int room = bytes - DataHeaderFlyweight.HEADER_LENGTH - Envelope.BYTES;
    payloadPerFrame = room / CUT_BYTES * CUT_BYTES;
  }

  abstract boolean sends();

  @Override
  public final int peer() {
    return peer;
  }

  @Override
  public final int communicator() {
    return communicator;
  }

  final long messages() {
    return messages;
  }

  final long payloadBytes() {
    return payloadBytes;
  }

  @Override
  public final int post(Transfer transfer) {
    if (transfer.isSend() != sends()) {
      throw new IllegalArgumentException(
          "transfer does not fit the link's end: sends=" + sends() + ", peer=" + peer);
    }
    if (broken != null) {
      transfer.failed(broken);
      return CLOSED;
    }
    if (queue.size() == QUEUE) {
      return BACK_PRESSURED;
    }
    transfer.posted();
    queue.addLast(transfer);
    return ACCEPTED;
  }

  /// Payload bytes of the next frame of the transfer at the head.
  final int payloadOf(long remaining) {
    return (int) Math.min(remaining, payloadPerFrame);
  }

  /// The memory that a frame's buffer is a part of.
  final TermView viewOf(DirectBuffer frame) {
    return views.of(frame);
  }

  final long checksum(TermView term, long offset, int bytes) {
    return term.checksum(crc, offset, bytes);
  }

  static long offsetInLog(UnsafeBuffer buffer, int offset) {
    return (long) buffer.wrapAdjustment() + offset;
  }

  final void completeHead() {
    Transfer done = queue.removeFirst();
    messages++;
    payloadBytes += done.bytes();
    done.done();
  }

  /// Breaks the link: everything posted, and to be posted, fails.
  final void breakLink(RuntimeException cause) {
    if (broken == null) {
      broken = cause;
    }
    while (!queue.isEmpty()) {
      queue.removeFirst().failed(cause);
    }
  }

  final boolean isBroken() {
    return broken != null;
  }

  final TransportException lost(String what) {
    return new TransportException(
        "rank " + peer, what + ": peer=" + peer + ", communicator=" + communicator, null);
  }

  final boolean isClosed() {
    return closed;
  }

  /// Frees what the link has of Aeron.
  abstract void free();

  /// Aeron has its own copy of what is on its way: nothing of a transfer is touched after it.
  @Override
  public final void abandon() {
    close();
  }

  @Override
  public final void close() {
    closed = true;
    breakLink(lost("link was closed"));
    free();
  }
}
