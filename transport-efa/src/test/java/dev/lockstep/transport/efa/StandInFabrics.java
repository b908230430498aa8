package dev.lockstep.transport.efa;

import dev.lockstep.failure.Availability;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportCounters;
import dev.lockstep.transport.TransportProvider;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/// Transports by EFA's rules for the tests of whole jobs, between ranks of one JVM that have two
/// cards of the stand-in each. What EFA does not allow fails the rank that does it, at the latest
/// when its transport is closed.
public final class StandInFabrics {
  /// What the cards of a job know of each other. Each rank loads providers of its own.
  private static final Map<Long, EfaNetwork> NETWORKS = new ConcurrentHashMap<>();

  private StandInFabrics() {}

  /// A provider of such transports.
  public abstract static class StandIn implements TransportProvider {
    private final String name;
    private final String fabric;

    StandIn(String name, String fabric) {
      this.name = name;
      this.fabric = fabric;
    }

    @Override
    public final String name() {
      return name;
    }

    /// As the provider is that carries what the cards send.
    @Override
    public final Availability probe() {
      return new OfiTcpProvider().probe();
    }

    @Override
    public final Availability reaches(TransportContext context) {
      return new OfiTcpProvider().reaches(context);
    }

    @Override
    public final Transport open(TransportContext context) {
      EfaNetwork network = NETWORKS.computeIfAbsent(context.jobId(), _ -> new EfaNetwork());
      return new Watched(
          name,
          network,
          EfaDevice.open(
              context,
              network,
              EfaCard.of("rdmap0s6-rdm", fabric),
              EfaCard.of("rdmap1s6-rdm", fabric)));
    }
  }

  /// By EFA's own protocols.
  public static final class Efa extends StandIn {
    /// Made by [java.util.ServiceLoader].
    public Efa() {
      super("stand-in-efa", FabricInfo.EFA);
    }
  }

  /// By EFA's device alone.
  public static final class EfaDirect extends StandIn {
    /// Made by [java.util.ServiceLoader].
    public EfaDirect() {
      super("stand-in-efa-direct", FabricInfo.EFA_DIRECT);
    }
  }

  /// A transport whose close fails if what EFA does not allow was done.
  private record Watched(String name, EfaNetwork network, Transport transport)
      implements Transport {
    @Override
    public Link openSend(int peer, int communicator, Duration timeout) {
      return transport.openSend(peer, communicator, timeout);
    }

    @Override
    public Link openReceive(int peer, int communicator, Duration timeout) {
      return transport.openReceive(peer, communicator, timeout);
    }

    @Override
    public Optional<PeerAccess> peerAccess(List<Integer> ranks) {
      return transport.peerAccess(ranks);
    }

    @Override
    public int poll() {
      return transport.poll();
    }

    @Override
    public TransportCounters counters() {
      return transport.counters();
    }

    @Override
    public void close() {
      transport.close();
      if (!network.offences().isEmpty()) {
        throw new AssertionError("EFA does not allow: " + network.offences());
      }
    }
  }
}
