package dev.lockstep.transport.efa;

import java.util.List;

/// How many segments peers may have leave to write at a time, on all links of an endpoint. Each
/// that arrives takes an entry of a completion queue until somebody reads it, and where nothing
/// keeps a queue from being overrun, a rank that the garbage collector stops would lose what came
/// meanwhile. Which rail a segment takes is its sender's choice, so what the fullest queue has room
/// for bounds all of them. Used under the transport's lock.
///
/// One segment for each link is kept back: a link that nobody can send on yet, however much was
/// granted of it, keeps no other one from being served.
final class SegmentRoom {
  private final long most;
  private long out;
  private int links;

  /// @param most entries that are left for what peers write
  SegmentRoom(long most) {
    this.most = most;
  }

  static SegmentRoom of(List<Rail> rails) {
    return new SegmentRoom(rails.stream().mapToLong(Rail::roomForSegments).min().orElseThrow());
  }

  void linkOpened() {
    links++;
  }

  void linkClosed() {
    links--;
  }

  /// Takes room for segments of a link.
  ///
  /// @param wanted how many the link wants, one at least
  /// @param isFirst whether none of the link are out
  /// @return for how many there is room, 0 for none
  int take(int wanted, boolean isFirst) {
    long free = Math.min(wanted, most - links - out);
    int taken = (int) Math.max(free, isFirst && out < most ? 1 : 0);
    out += taken;
    return taken;
  }

  /// Gives room back: so many have arrived, or never will.
  void release(int segments) {
    out -= segments;
  }
}
