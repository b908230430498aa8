package dev.lockstep.memory;

import java.lang.foreign.MemorySegment;
import java.lang.ref.Cleaner;
import org.jspecify.annotations.Nullable;

/// A buffer of host memory, which is its own region.
final class HostBuffer implements Buffer, Region {
  private final String name;
  private final MemorySegment segment;
  private final Backing backing;
  private final HostResources resources;
  private final Registration registration;
  private final Leases leases;
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
    this.leases = new Leases(name, this::free);
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
    leases.requireOpen();
    return segment;
  }

  @Override
  public void acquire() {
    leases.acquire();
  }

  @Override
  public void release() {
    leases.release();
  }

  @Override
  public void quarantine() {
    leases.quarantine();
  }

  @Override
  public void liftQuarantine() {
    leases.liftQuarantine();
  }

  @Override
  public boolean isClosed() {
    return leases.isClosed();
  }

  @Override
  public void close() {
    leases.close();
  }

  private void free() {
    resources.free();
    if (watch != null && leak != null) {
      watch.closed = true;
      leak.clean();
    }
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
