package dev.lockstep.transport.ring;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.PeerAccess;
import java.lang.foreign.MemorySegment;

/// In-place access by the neighbours' means, and signals.
final class RingPeerAccess implements PeerAccess {
  private final Neighbors neighbors;
  private final RingSignals signals;
  private final RingCounters counters;

  RingPeerAccess(Neighbors neighbors, RingSignals signals, RingCounters counters) {
    this.neighbors = neighbors;
    this.signals = signals;
    this.counters = counters;
  }

  @Override
  public byte[] describe(Registration registration) {
    return neighbors.describe(registration);
  }

  @Override
  public MemorySegment open(int peer, byte[] descriptor) {
    MemorySegment range = neighbors.open(peer, descriptor);
    counters.openedInPlace(range.byteSize());
    return range;
  }

  @Override
  public MemorySegment openToWrite(int peer, byte[] descriptor) {
    MemorySegment range = neighbors.openToWrite(peer, descriptor);
    counters.openedInPlace(range.byteSize());
    return range;
  }

  @Override
  public void forget(int peer, byte[] descriptor) {
    neighbors.forget(peer, descriptor);
  }

  @Override
  public void openSignals(int communicator) {
    signals.open(communicator);
  }

  @Override
  public void closeSignals(int communicator) {
    signals.close(communicator);
  }

  @Override
  public void signal(int peer, int communicator, int slot, long value) {
    signals.signal(peer, communicator, slot, value);
  }

  @Override
  public long signalled(int peer, int communicator, int slot) {
    return signals.signalled(peer, communicator, slot);
  }
}
