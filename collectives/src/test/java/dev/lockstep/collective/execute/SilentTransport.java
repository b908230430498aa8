package dev.lockstep.collective.execute;

import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportCounters;
import java.time.Duration;
import java.util.List;
import java.util.Optional;

/// A transport over which nothing goes; a test says which links it has, if any.
class SilentTransport implements Transport {
  @Override
  public String name() {
    return "silent";
  }

  @Override
  public Link openSend(int peer, int communicator, Duration timeout) {
    throw new UnsupportedOperationException();
  }

  @Override
  public Link openReceive(int peer, int communicator, Duration timeout) {
    throw new UnsupportedOperationException();
  }

  @Override
  public Optional<PeerAccess> peerAccess(List<Integer> ranks) {
    return Optional.empty();
  }

  @Override
  public int poll() {
    return 0;
  }

  @Override
  public TransportCounters counters() {
    return new TransportCounters(0, 0, 0, 0, 0);
  }

  @Override
  public void close() {}
}
