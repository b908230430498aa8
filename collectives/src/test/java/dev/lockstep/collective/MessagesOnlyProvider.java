package dev.lockstep.collective;

import dev.lockstep.failure.Availability;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportCounters;
import dev.lockstep.transport.TransportProvider;
import dev.lockstep.transport.inprocess.InProcessTransportProvider;
import java.time.Duration;
import java.util.Optional;

/// The in-process transport without peers' memory: what algorithms by messages run over.
public final class MessagesOnlyProvider implements TransportProvider {
  static final String NAME = "messages-only";

  private final TransportProvider wrapped = new InProcessTransportProvider();

  /// Made by [java.util.ServiceLoader].
  public MessagesOnlyProvider() {}

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public Availability probe() {
    return wrapped.probe();
  }

  @Override
  public Availability reaches(TransportContext context) {
    return wrapped.reaches(context);
  }

  @Override
  public Transport open(TransportContext context) {
    return new WithoutPeerMemory(wrapped.open(context));
  }

  private record WithoutPeerMemory(Transport wrapped) implements Transport {
    @Override
    public String name() {
      return NAME;
    }

    @Override
    public Link openSend(int peer, int communicator, Duration timeout) {
      return wrapped.openSend(peer, communicator, timeout);
    }

    @Override
    public Link openReceive(int peer, int communicator, Duration timeout) {
      return wrapped.openReceive(peer, communicator, timeout);
    }

    @Override
    public void register(Registration registration) {
      wrapped.register(registration);
    }

    @Override
    public void deregister(Registration registration) {
      wrapped.deregister(registration);
    }

    @Override
    public Optional<PeerAccess> peerAccess() {
      return Optional.empty();
    }

    @Override
    public int poll() {
      return wrapped.poll();
    }

    @Override
    public TransportCounters counters() {
      return wrapped.counters();
    }

    @Override
    public void close() {
      wrapped.close();
    }
  }
}
