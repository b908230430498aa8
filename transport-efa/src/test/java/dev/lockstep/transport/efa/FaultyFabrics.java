package dev.lockstep.transport.efa;

import dev.lockstep.failure.Availability;
import dev.lockstep.transport.Faults;
import dev.lockstep.transport.FaultyTransport;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;
import java.util.List;
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
}
