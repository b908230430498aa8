package dev.lockstep.memory;

import java.lang.foreign.MemorySegment;

/// Memory that is not there: it has no bytes, and whoever leases, keeps or frees it does nothing.
/// Tests override what theirs is to do.
public class StubRegion implements Region {
  private final Backing backing;

  /// Makes a private region.
  public StubRegion() {
    this(new Backing.Private());
  }

  /// Makes a region of any kind.
  public StubRegion(Backing backing) {
    this.backing = backing;
  }

  @Override
  public String name() {
    return "stub";
  }

  @Override
  public long bytes() {
    return 0;
  }

  @Override
  public Backing backing() {
    return backing;
  }

  @Override
  public MemorySegment segment() {
    return MemorySegment.NULL;
  }

  @Override
  public void acquire() {}

  @Override
  public void release() {}

  @Override
  public void quarantine() {}

  @Override
  public void liftQuarantine() {}

  @Override
  public boolean isClosed() {
    return false;
  }

  @Override
  public void close() {}
}
