package dev.lockstep.memory;

import java.util.concurrent.atomic.AtomicLong;

/// A buffer that is its own region, with what both promise of leases, quarantines and closing, for
/// whoever writes a device. All of that is one word, so that every change is one atomic step.
/// Thread-safe; allocates nothing after it is made.
public abstract class LeasedBuffer implements Buffer, Region {
  private static final long LEASE = 1;
  private static final long LEASES = (1L << 31) - 1;
  private static final long QUARANTINE = 1L << 31;
  private static final long QUARANTINES = ((1L << 31) - 1) << 31;
  private static final long CLOSED = 1L << 62;

  /// Closed, but the memory could not be freed when its last quarantine was lifted.
  private static final long OWED = CLOSED | 1L << 63;

  private final String name;
  private final long bytes;
  private final Registration registration;
  private final AtomicLong state = new AtomicLong();

  /// Starts open, without leases.
  ///
  /// @param name of the memory, for errors
  /// @param bytes its size
  @SuppressWarnings("this-escape") // the registration asks for no more than the size
  protected LeasedBuffer(String name, long bytes) {
    this.name = name;
    this.bytes = bytes;
    this.registration = new Registration(this, 0, bytes);
  }

  /// Frees the memory: called by the thread that closes it or lifts the last quarantine, and never
  /// again once it has returned.
  ///
  /// @throws IllegalStateException if it cannot be freed yet. The buffer then counts as not closed
  ///   where [#close] called, and stays closed where [#liftQuarantine] did; either way a later
  ///   close tries again
  protected abstract void free();

  @Override
  public final String name() {
    return name;
  }

  @Override
  public final long bytes() {
    return bytes;
  }

  @Override
  public final Registration registration() {
    return registration;
  }

  /// Checks that the memory is not closed.
  ///
  /// @throws IllegalStateException if it is
  protected final void requireOpen() {
    if (isClosed()) {
      throw closed();
    }
  }

  /// Takes a lease.
  ///
  /// @throws IllegalStateException if closed
  @Override
  public final void acquire() {
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
  @Override
  public final void release() {
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
  @Override
  public final void quarantine() {
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
  /// @throws IllegalStateException if none is set, or if the memory cannot be freed yet: the buffer
  ///   stays closed, and closing it again tries again
  @Override
  public final void liftQuarantine() {
    long now;
    do {
      now = state.get();
      if ((now & QUARANTINES) == 0) {
        throw new IllegalStateException("quarantine lifted that was not set: name=" + name);
      }
    } while (!state.compareAndSet(now, now - QUARANTINE));
    if (now - QUARANTINE == CLOSED) {
      freeClosed();
    }
  }

  /// Returns whether [#close] has happened.
  @Override
  public final boolean isClosed() {
    return (state.get() & CLOSED) != 0;
  }

  /// Frees the memory, or marks it for freeing while quarantined; idempotent.
  ///
  /// @throws IllegalStateException if a lease is out
  @Override
  public void close() {
    if (state.compareAndSet(OWED, CLOSED)) {
      freeClosed();
      return;
    }
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
      freeOpen();
    }
  }

  private void freeOpen() {
    try {
      free();
    } catch (IllegalStateException busy) {
      state.addAndGet(-CLOSED); // as if it had not been closed: a later close frees it
      throw busy;
    }
  }

  /// Its owner has closed it before, and thinks so.
  private void freeClosed() {
    try {
      free();
    } catch (IllegalStateException busy) {
      state.set(OWED);
      throw busy;
    }
  }

  private IllegalStateException closed() {
    return new IllegalStateException("buffer is closed: name=" + name);
  }
}
