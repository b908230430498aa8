package dev.lockstep.memory;

import java.lang.foreign.MemorySegment;
import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/// A buffer of host memory, which is its own region. Leases, quarantines and whether it is closed
/// live in one word, so that every change is one atomic step.
final class HostBuffer implements Buffer, Region {
  private static final long LEASE = 1;
  private static final long LEASES = (1L << 31) - 1;
  private static final long QUARANTINE = 1L << 31;
  private static final long QUARANTINES = ((1L << 31) - 1) << 31;
  private static final long CLOSED = 1L << 62;

  private final String name;
  private final MemorySegment segment;
  private final Backing backing;
  private final HostResources resources;
  private final Registration registration;
  private final AtomicLong state = new AtomicLong();
  private final Cleaner.@Nullable Cleanable leak;
  private final @Nullable Watch watch;

  HostBuffer(
      String name,
      MemorySegment segment,
      Backing backing,
      HostResources resources,
      MemoryPool pool) {
    this.name = name;
    this.segment = segment;
    this.backing = backing;
    this.resources = resources;
    this.registration = new Registration(this, 0, segment.byteSize());
    Cleaner cleaner = pool.leakCleaner();
    this.watch = cleaner == null ? null : new Watch(resources);
    this.leak = cleaner == null || watch == null ? null : cleaner.register(this, watch);
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public long bytes() {
    return segment.byteSize();
  }

  @Override
  public Backing backing() {
    return backing;
  }

  @Override
  public Registration registration() {
    return registration;
  }

  @Override
  public MemorySegment segment() {
    if (isClosed()) {
      throw closed();
    }
    return segment;
  }

  @Override
  public void acquire() {
    long now;
    do {
      now = state.get();
      if ((now & CLOSED) != 0) {
        throw closed();
      }
    } while (!state.compareAndSet(now, now + LEASE));
  }

  @Override
  public void release() {
    long now;
    do {
      now = state.get();
      if ((now & LEASES) == 0) {
        throw new IllegalStateException("lease released that was not taken: name=" + name);
      }
    } while (!state.compareAndSet(now, now - LEASE));
  }

  @Override
  public void quarantine() {
    long now;
    do {
      now = state.get();
      if ((now & CLOSED) != 0 && (now & QUARANTINES) == 0) {
        throw closed();
      }
    } while (!state.compareAndSet(now, now + QUARANTINE));
  }

  @Override
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

  @Override
  public boolean isClosed() {
    return (state.get() & CLOSED) != 0;
  }

  @Override
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
      resources.free();
    } catch (IllegalStateException busy) {
      state.addAndGet(-CLOSED); // as if it had not been closed: a later close frees it
      throw busy;
    }
    if (watch != null && leak != null) {
      watch.closed = true;
      leak.clean();
    }
  }

  private IllegalStateException closed() {
    return new IllegalStateException("buffer is closed: name=" + name);
  }

  /// Runs when the buffer is closed, or when nobody holds it any more.
  private static final class Watch implements Runnable {
    private final HostResources resources;
    private volatile boolean closed;

    Watch(HostResources resources) {
      this.resources = resources;
    }

    @Override
    public void run() {
      if (!closed) {
        resources.reclaim();
      }
    }
  }
}
