package dev.lockstep.transport.efa;

import dev.lockstep.failure.Availability;
import dev.lockstep.transport.Faults;
import dev.lockstep.transport.FaultyTransport;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;
import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongPredicate;

/// Transports over libfabric on which things go wrong, for the tests of whole jobs: their links are
/// slow, full, out of step with each other and carry messages in pieces, and some end or get
/// damaged bytes.
public final class FaultyFabrics {
  private static final int FAULTY_RANK = 1;

  /// How much goes well first.
  private static final long AFTER = 60;

  private FaultyFabrics() {}

  /// A provider of such transports.
  public abstract static class Faulty implements TransportProvider {
    private final String name;
    private final FabricProvider provider;
    private final Faults faults;
    private final LongPredicate damaged;

    Faulty(String name, FabricProvider provider, Faults faults, LongPredicate damaged) {
      this.name = name;
      this.provider = provider;
      this.faults = faults;
      this.damaged = damaged;
    }

    @Override
    public final String name() {
      return name;
    }

    @Override
    public final Availability probe() {
      return provider.probe();
    }

    @Override
    public final Availability reaches(TransportContext context) {
      return provider.reaches(context);
    }

    @Override
    public final Transport open(TransportContext context) {
      boolean damages = context.rank() == FAULTY_RANK;
      Transport transport =
          provider.open(
              context,
              FabricOptions.defaults(),
              library -> damages ? new DamagingLibfabric(library, damaged, damaged) : library);
      return new FaultyTransport(transport, name, faults, context.rank(), List::of);
    }
  }

  /// Everything arrives.
  public static final class UnsteadyTcp extends Faulty {
    /// Made by [java.util.ServiceLoader].
    public UnsteadyTcp() {
      super("unsteady-ofi-tcp", new OfiTcpProvider(), Faults.unsteady(11), _ -> false);
    }
  }

  /// Everything arrives.
  public static final class UnsteadyUdp extends Faulty {
    /// Made by [java.util.ServiceLoader].
    public UnsteadyUdp() {
      super("unsteady-ofi-udp", new OfiUdpProvider(), Faults.unsteady(12), _ -> false);
    }
  }

  /// Everything arrives.
  public static final class UnsteadyShm extends Faulty {
    /// Made by [java.util.ServiceLoader].
    public UnsteadyShm() {
      super("unsteady-ofi-shm", new OfiShmProvider(), Faults.unsteady(17), _ -> false);
    }
  }

  /// What rank 1 sends is damaged now and then.
  public static final class DamagingTcp extends Faulty {
    /// Made by [java.util.ServiceLoader].
    public DamagingTcp() {
      super(
          "damaging-ofi-tcp",
          new OfiTcpProvider(),
          Faults.unsteady(13),
          sent -> sent > AFTER && sent % 7 == 0);
    }
  }

  /// What rank 1 sends is damaged now and then.
  public static final class DamagingUdp extends Faulty {
    /// Made by [java.util.ServiceLoader].
    public DamagingUdp() {
      super(
          "damaging-ofi-udp",
          new OfiUdpProvider(),
          Faults.unsteady(14),
          sent -> sent > AFTER && sent % 7 == 0);
    }
  }

  /// What rank 1 sends is damaged now and then.
  public static final class DamagingShm extends Faulty {
    /// Made by [java.util.ServiceLoader].
    public DamagingShm() {
      super(
          "damaging-ofi-shm",
          new OfiShmProvider(),
          Faults.unsteady(18),
          sent -> sent > AFTER && sent % 7 == 0);
    }
  }

  /// All links of rank 1 end.
  public static final class DyingTcp extends Faulty {
    /// Made by [java.util.ServiceLoader].
    public DyingTcp() {
      super(
          "dying-ofi-tcp",
          new OfiTcpProvider(),
          Faults.unsteady(15).withDeath(FAULTY_RANK, AFTER),
          _ -> false);
    }
  }

  /// All links of rank 1 end.
  public static final class DyingUdp extends Faulty {
    /// Made by [java.util.ServiceLoader].
    public DyingUdp() {
      super(
          "dying-ofi-udp",
          new OfiUdpProvider(),
          Faults.unsteady(16).withDeath(FAULTY_RANK, AFTER),
          _ -> false);
    }
  }

  /// All links of rank 1 end.
  public static final class DyingShm extends Faulty {
    /// Made by [java.util.ServiceLoader].
    public DyingShm() {
      super(
          "dying-ofi-shm",
          new OfiShmProvider(),
          Faults.unsteady(19).withDeath(FAULTY_RANK, AFTER),
          _ -> false);
    }
  }

  /// Everything arrives until the peers of rank 0 are stopped: they read nothing then.
  public static final class StoppingTcp implements TransportProvider {
    private static final AtomicBoolean STOPPED = new AtomicBoolean();
    private static final AtomicInteger GRANTS = new AtomicInteger();

    /// Made by [java.util.ServiceLoader].
    public StoppingTcp() {}

    /// Stops the peers of rank 0, or has them go on.
    public static void stop(boolean stopped) {
      GRANTS.set(0);
      STOPPED.set(stopped);
    }

    /// Returns how many grants rank 0 has said since its peers were stopped or went on.
    public static int grants() {
      return GRANTS.get();
    }

    @Override
    public String name() {
      return "stopping-ofi-tcp";
    }

    @Override
    public Availability probe() {
      return new OfiTcpProvider().probe();
    }

    @Override
    public Availability reaches(TransportContext context) {
      return new OfiTcpProvider().reaches(context);
    }

    @Override
    public Transport open(TransportContext context) {
      return new OfiTcpProvider()
          .open(
              context,
              FabricOptions.defaults(),
              library ->
                  context.rank() == 0
                      ? new GrantingLibfabric(library, GRANTS)
                      : new StoppingLibfabric(library, STOPPED));
    }
  }

  /// Counts the grants that it says.
  private static final class GrantingLibfabric extends ForwardingLibfabric {
    private final AtomicInteger grants;

    GrantingLibfabric(Libfabric library, AtomicInteger grants) {
      super(library);
      this.grants = grants;
    }

    private long said(long status, long buffer, long bytes) {
      if (status == 0 && Wire.kind(library.memory(buffer, bytes), 0) == Wire.GRANT) {
        grants.incrementAndGet();
      }
      return status;
    }

    @Override
    public long send(
        EndpointCalls endpoint,
        long buffer,
        long bytes,
        long descriptor,
        long destination,
        long context) {
      return said(
          super.send(endpoint, buffer, bytes, descriptor, destination, context), buffer, bytes);
    }

    @Override
    public long inject(EndpointCalls endpoint, long buffer, long bytes, long destination) {
      return said(super.inject(endpoint, buffer, bytes, destination), buffer, bytes);
    }
  }
}
