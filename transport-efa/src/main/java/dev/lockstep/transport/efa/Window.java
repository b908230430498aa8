package dev.lockstep.transport.efa;

/// Frames of a link that are here, until their turn comes. Used under the transport's lock.
final class Window {
  /// Frames that may be here unread, the closing one among them: a power of two.
  private static final int SLOTS = 2 * FabricLink.WINDOW;

  private final IncomingFrames incoming;

  /// In whose memory each is, and one more: 0 if there is none.
  private final int[] receives = new int[SLOTS];

  /// Bytes of the payload of a bare frame, 0 if it has a header, and what came beside it.
  private final int[] payloads = new int[SLOTS];

  private final long[] immediates = new long[SLOTS];

  Window(IncomingFrames incoming) {
    this.incoming = incoming;
  }

  private static int slot(long frame) {
    return (int) frame & (SLOTS - 1);
  }

  /// Takes a frame.
  ///
  /// @param payload bytes of a bare frame, 0 of others
  /// @param next number of the frame whose turn it is
  /// @return whether it is kept
  boolean put(int receive, long frame, int payload, long immediate, long next) {
    int at = slot(frame);
    if (frame < next || frame >= next + SLOTS || receives[at] != 0) {
      return false;
    }
    receives[at] = receive + 1;
    payloads[at] = payload;
    immediates[at] = immediate;
    return true;
  }

  /// Returns in whose memory a frame is, -1 if it is not here.
  int receive(long frame) {
    return receives[slot(frame)] - 1;
  }

  boolean has(long frame) {
    return receives[slot(frame)] != 0;
  }

  /// Returns the bytes of a bare frame, 0 if a frame has its header.
  int payload(long frame) {
    return payloads[slot(frame)];
  }

  /// Returns what came beside a bare frame.
  long immediate(long frame) {
    return immediates[slot(frame)];
  }

  /// Gives the memory of a frame back.
  void drop(long frame) {
    int at = slot(frame);
    if (receives[at] != 0) {
      incoming.recycle(receives[at] - 1);
      receives[at] = 0;
    }
  }

  void clear() {
    for (int at = 0; at < SLOTS; at++) {
      drop(at);
    }
  }

  /// Returns how many frames wait for their turn.
  int size() {
    int unread = 0;
    for (int receive : receives) {
      unread += receive == 0 ? 0 : 1;
    }
    return unread;
  }
}
