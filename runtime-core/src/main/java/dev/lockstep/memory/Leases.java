package dev.lockstep.memory;

import java.util.concurrent.atomic.AtomicLong;

/// The leases and quarantines of one stretch of memory, and whether it is closed: what a [Buffer]
/// and its [Region] promise, for whoever writes a device. All of it is one word, so that every
/// change is one atomic step. Thread-safe; allocates nothing.
public final class Leases {
  private static final long LEASE = 1;
  private static final long LEASES = (1L << 31) - 1;
  private static final long QUARANTINE = 1L << 31;
  private static final long QUARANTINES = ((1L << 31) - 1) << 31;
  private static final long CLOSED = 1L << 62;

  private final String name;
  private final Runnable free;
  private final AtomicLong state = new AtomicLong();

  /// Starts open, without leases.
  ///
  /// @param name of the memory, for errors
  /// @param free frees the memory, once; if it throws [IllegalStateException] the memory counts as
  ///   not closed
  public Leases(String name, Runnable free) {
    this.name = name;
    this.free = free;
  }

  /// Checks that the memory is not closed.
  ///
  /// @throws IllegalStateException if it is
  public void requireOpen() {
    if (isClosed()) {
      throw closed();
    }
  }

  /// Takes a lease.
  ///
  /// @throws IllegalStateException if closed
  public void acquire() {
    long now;
    do {
      now = state.get();
      if ((now & CLOSED) != 0) {
        throw closed();
      }
    } while (!state.compareAndSet(now, now + LEASE));
  }

  /// Gives back one lease.
  ///
  /// @throws IllegalStateException if none is out
  public void release() {
    long now;
    do {
      now = state.get();
      if ((now & LEASES) == 0) {
        throw new IllegalStateException("lease released that was not taken: name=" + name);
      }
    } while (!state.compareAndSet(now, now - LEASE));
  }

  /// Keeps the memory alive past [#close] until [#liftQuarantine] has been called as often.
  ///
  /// @throws IllegalStateException if closed and not quarantined
  public void quarantine() {
    long now;
    do {
      now = state.get();
      if ((now & CLOSED) != 0 && (now & QUARANTINES) == 0) {
        throw closed();
      }
    } while (!state.compareAndSet(now, now + QUARANTINE));
  }

  /// Lifts one quarantine, and frees what was closed meanwhile.
  ///
  /// @throws IllegalStateException if none is set
  public void liftQuarantine() {
    long now;
    do {
      now = state.get();
      if ((now & QUARANTINES) == 0) {
        throw new IllegalStateException("quarantine lifted that was not set: name=" + name);
      }
    } while (!state.compareAndSet(now, now - QUARANTINE));
    if (now - QUARANTINE == CLOSED) {
      free();
    }
  }

  /// Returns whether [#close] has happened.
  public boolean isClosed() {
    return (state.get() & CLOSED) != 0;
  }

  /// Frees the memory, or marks it for freeing while quarantined; idempotent.
  ///
  /// @throws IllegalStateException if a lease is out
  public void close() {
    long now;
    do {
      now = state.get();
      if ((now & CLOSED) != 0) {
        return;
      }
      if ((now & LEASES) != 0) {
        throw new IllegalStateException(
            "buffer is in use: name=%s, leases=%d (wait for what runs on it)"
                .formatted(name, now & LEASES));
      }
    } while (!state.compareAndSet(now, now | CLOSED));
    if (now == 0) {
      free();
    }
  }

  private void free() {
    try {
      free.run();
    } catch (IllegalStateException busy) {
      state.addAndGet(-CLOSED); // as if it had not been closed: a later close frees it
      throw busy;
    }
  }

  private IllegalStateException closed() {
    return new IllegalStateException("buffer is closed: name=" + name);
  }
}
