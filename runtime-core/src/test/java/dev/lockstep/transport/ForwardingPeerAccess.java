package dev.lockstep.transport;

import dev.lockstep.memory.Registration;
import java.lang.foreign.MemorySegment;

/// Access to peers' memory that passes everything on, for tests to override a part of it.
public abstract class ForwardingPeerAccess implements PeerAccess {
  private final PeerAccess access;

  protected ForwardingPeerAccess(PeerAccess access) {
    this.access = access;
  }

  @Override
  public byte[] describe(Registration registration) {
    return access.describe(registration);
  }

  @Override
  public MemorySegment open(int peer, byte[] descriptor) {
    return access.open(peer, descriptor);
  }

  @Override
  public MemorySegment openToWrite(int peer, byte[] descriptor) {
    return access.openToWrite(peer, descriptor);
  }

  @Override
  public void forget(int peer, byte[] descriptor) {
    access.forget(peer, descriptor);
  }

  @Override
  public void openSignals(int communicator) {
    access.openSignals(communicator);
  }

  @Override
  public void closeSignals(int communicator) {
    access.closeSignals(communicator);
  }

  @Override
  public void signal(int peer, int communicator, int slot, long value) {
    access.signal(peer, communicator, slot, value);
  }

  @Override
  public long signalled(int peer, int communicator, int slot) {
    return access.signalled(peer, communicator, slot);
  }
}
