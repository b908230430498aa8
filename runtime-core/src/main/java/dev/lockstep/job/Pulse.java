package dev.lockstep.job;

import java.time.Duration;

/// The rhythm of heartbeats, and when silence means death. Confined to one event loop.
///
/// A beat goes out every eighth of the liveness time. A peer that has been silent for three
/// quarters of it counts as lost: a link that is pulled just after a beat is then known within the
/// liveness time, ticks and all. Time in which this process itself did not run (stopped, suspended)
/// is not held against the peers: their beats wait in the socket meanwhile.
final class Pulse {
  private static final long SHORTEST_NANOS = 10_000_000;
  private static final long LONGEST_NANOS = 500_000_000;

  private final long intervalNanos;
  private final long limitNanos;
  private long lastTick;
  private long sleptNanos;

  Pulse(Duration liveness) {
    long nanos = liveness.toNanos();
    intervalNanos = Math.clamp(nanos / 8, SHORTEST_NANOS, LONGEST_NANOS);
    limitNanos = nanos - 2 * intervalNanos;
    lastTick = System.nanoTime();
  }

  long intervalNanos() {
    return intervalNanos;
  }

  /// Silence from which on a peer counts as lost.
  long limitNanos() {
    return limitNanos;
  }

  /// Silence from which on a peer is lost too where another one has passed the limit: peers behind
  /// one pulled link fell silent within one interval of each other.
  long companionNanos() {
    return limitNanos - 2 * intervalNanos;
  }

  /// Notes that the event loop runs.
  void tick() {
    long now = System.nanoTime();
    long gap = now - lastTick;
    if (gap > 2 * intervalNanos) {
      sleptNanos += gap - intervalNanos;
    }
    lastTick = now;
  }

  /// The time now, without the time that this process did not run.
  long now() {
    return System.nanoTime() - sleptNanos;
  }
}
