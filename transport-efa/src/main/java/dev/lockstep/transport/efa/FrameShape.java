package dev.lockstep.transport.efa;

import dev.lockstep.transport.Envelope;

/// How long a provider's frames are, and what fits into one. Both ends of a link have the same.
///
/// @param bytes of a frame, with its header
/// @param lead memory before each frame, where header and envelope of a bare one are written (see
///   [Wire]); 0 where none are sent
/// @param stride from the beginning of one to that of the next
/// @param eagerBytes longest message that is faster in frames than asked for, as measured
record FrameShape(int bytes, int lead, int stride, int eagerBytes) {
  /// Payload is cut at multiples of this, so that no element is torn.
  static final int CUT_BYTES = 64;

  /// What EFA's device carries in one packet.
  static final FrameShape PACKET = new FrameShape(8192, 0, 8192, 32 << 10);

  /// What `shm` copies through its own memory, a page, as against memory of a peer that a system
  /// call reads: that takes 2 µs where this takes half of one. Frames lie further apart, so that
  /// they do not all begin at the same place in a page. Five of them take about as long as a grant
  /// and that system call, nine more than twice as long where cores are far apart (record 132).
  /// What is longer than one frame goes bare, so that a page of payload is one (record 150).
  static final FrameShape COPIED =
      new FrameShape(
          4096,
          Wire.HEADER_BYTES + Envelope.BYTES,
          4096 + Wire.HEADER_BYTES + Envelope.BYTES,
          16 << 10);

  /// Where each message costs system calls: a message of 32 KiB with its envelope is one frame.
  static final FrameShape STREAM = new FrameShape((32 << 10) + 256, 0, (32 << 10) + 256, 32 << 10);

  /// Returns where a frame begins among others.
  long offset(int frame) {
    return lead + (long) frame * stride;
  }

  /// Returns the most payload of a frame.
  ///
  /// @param first of its message
  int payload(boolean first, boolean bare) {
    return bare ? barePayload() : first ? firstPayload() : nextPayload();
  }

  /// Returns the most payload of a message's first frame, behind its envelope.
  int firstPayload() {
    return cut(bytes - Wire.HEADER_BYTES - Envelope.BYTES);
  }

  /// Returns the most payload of its other frames.
  int nextPayload() {
    return cut(bytes - Wire.HEADER_BYTES);
  }

  /// Returns the most payload of a bare frame.
  int barePayload() {
    return cut(bytes);
  }

  private static int cut(int bytes) {
    return bytes / CUT_BYTES * CUT_BYTES;
  }
}
