package dev.lockstep.transport.efa;

import dev.lockstep.memory.MemoryPool;
import java.lang.foreign.MemorySegment;
import java.util.zip.CRC32C;

/// Frames on their way out: one slab of memory, and to whom each goes. Used under the transport's
/// lock.
final class OutgoingFrames {
  private final Rail rail;
  private final FrameSlab slab;
  private final FrameShape shape;
  private final boolean sendsBare;
  private final long job;
  private final CRC32C crc;
  private final int[] peers = new int[Rail.FRAMES];
  private final int[] free = new int[Rail.FRAMES];
  private int freeCount;

  /// @param crc borrowed; used under the lock
  OutgoingFrames(
      MemoryPool pool, Rail rail, RegionCache cache, FrameShape shape, long job, CRC32C crc) {
    this.rail = rail;
    this.shape = shape;
    this.sendsBare =
        shape.lead() > 0
            && rail.info().carriesChecksums()
            && rail.info().injectBytes() >= shape.barePayload();
    this.slab = new FrameSlab(pool, rail, cache, shape);
    this.job = job;
    this.crc = crc;
    for (int i = 0; i < Rail.FRAMES; i++) {
      free[freeCount++] = i;
    }
  }

  /// Claims the memory of a frame, -1 if all are on their way.
  int claim() {
    return freeCount == 0 ? -1 : free[--freeCount];
  }

  MemorySegment segment() {
    return slab.segment();
  }

  /// Returns where a frame's body begins in [#segment].
  long body(int frame) {
    return slab.offset(frame) + Wire.HEADER_BYTES;
  }

  /// Returns whether any message goes in bare frames.
  boolean sendsBare() {
    return sendsBare;
  }

  /// Returns whether a message goes in bare frames: that takes fewer of them.
  boolean isBare(long messageBytes) {
    return sendsBare && messageBytes > shape.firstPayload();
  }

  /// Returns where the body of a bare frame begins in [#segment].
  ///
  /// @param unsent bytes of the body that are not payload
  long bareBody(int frame, int unsent) {
    return slab.offset(frame) - unsent;
  }

  /// Returns whether any frame is claimed or on its way.
  boolean isBusy() {
    return freeCount < Rail.FRAMES;
  }

  /// Gives a frame back that was not sent.
  void release(int frame) {
    free[freeCount++] = frame;
  }

  /// Returns the function that sends a frame with such a body.
  String function(int bodyBytes) {
    return injects(bodyBytes) ? "fi_inject" : "fi_send";
  }

  private boolean injects(int bodyBytes) {
    return Wire.HEADER_BYTES + (long) bodyBytes <= rail.info().injectBytes();
  }

  /// Sends a frame whose body is written; unless it is taken its memory is given back.
  ///
  /// @param peer whom a failure concerns
  /// @param address of the peer
  /// @param to link number as the receiver of the frame knows it
  /// @return 0 if it was taken, else the status
  long send(
      int frame,
      int peer,
      long address,
      int kind,
      int to,
      int bodyBytes,
      long number,
      long message) {
    long at = slab.offset(frame);
    Wire.header(slab.segment(), at, kind, job, to, bodyBytes, number, message);
    Wire.seal(slab.segment(), at, crc, slab.bytes());
    long bytes = Wire.HEADER_BYTES + (long) bodyBytes;
    if (injects(bodyBytes)) {
      long status = rail.inject(slab.address(frame), bytes, address);
      release(frame);
      return status;
    }
    long status = rail.send(frame, slab.address(frame), bytes, slab.descriptor(), address);
    if (status == 0) {
      peers[frame] = peer;
    } else {
      release(frame);
    }
    return status;
  }

  /// Sends a bare frame whose body is written; its memory is given back.
  ///
  /// @param unsent bytes of the body that are not payload
  /// @return 0 if it was taken, else the status
  long sendBare(
      int frame,
      long address,
      int kind,
      int to,
      int unsent,
      int payload,
      long number,
      long message) {
    MemorySegment frames = slab.segment();
    long at = bareBody(frame, unsent) - Wire.HEADER_BYTES;
    Wire.header(frames, at, kind, job, to, unsent + payload, number, message);
    Wire.seal(frames, at, crc, slab.bytes());
    long immediate = Wire.bare(to, number, message, frames.get(Wire.INT, at));
    long status = rail.injectBare(slab.address(frame), payload, immediate, address);
    release(frame);
    return status;
  }

  /// Notes that a frame is on its way no more, and returns to whom it was sent.
  int done(int frame) {
    release(frame);
    return peers[frame];
  }

  /// Frees the memory; the endpoint is closed before.
  void close() {
    slab.close();
  }
}
