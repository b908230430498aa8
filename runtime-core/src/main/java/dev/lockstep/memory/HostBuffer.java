package dev.lockstep.memory;

import java.lang.foreign.MemorySegment;
import java.lang.ref.Cleaner;
import org.jspecify.annotations.Nullable;

/// A buffer of host memory, which is its own region.
final class HostBuffer extends LeasedBuffer {
  private final MemorySegment segment;
  private final Backing backing;
  private final HostResources resources;
  private final Cleaner.@Nullable Cleanable leak;
  private final @Nullable Watch watch;

  HostBuffer(
      String name,
      MemorySegment segment,
      Backing backing,
      HostResources resources,
      MemoryPool pool) {
    super(name, segment.byteSize());
    this.segment = segment;
    this.backing = backing;
    this.resources = resources;
    Cleaner cleaner = pool.leakCleaner();
    this.watch = cleaner == null ? null : new Watch(resources);
    this.leak = cleaner == null || watch == null ? null : cleaner.register(this, watch);
  }

  @Override
  public Backing backing() {
    return backing;
  }

  @Override
  public MemorySegment segment() {
    requireOpen();
    return segment;
  }

  @Override
  protected void free() {
    boolean busy = false;
    try {
      resources.free();
    } catch (IllegalStateException stillUsed) {
      busy = true;
      throw stillUsed;
    } finally { // a file that cannot be removed is no buffer that was forgotten
      if (!busy && watch != null && leak != null) {
        watch.closed = true;
        leak.clean();
      }
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
        resources.reportLeak();
      }
    }
  }
}
