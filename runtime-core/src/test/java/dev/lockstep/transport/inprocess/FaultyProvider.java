package dev.lockstep.transport.inprocess;

import dev.lockstep.failure.Availability;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Faults;
import dev.lockstep.transport.FaultyTransport;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportProvider;
import dev.lockstep.transport.ring.Neighbors;
import dev.lockstep.transport.ring.RingTransport;
import dev.lockstep.transport.ring.SharedArea;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

/// Ranks of one JVM that exchange messages over rings on which things go wrong, and use each
/// other's memory or do not.
public abstract class FaultyProvider implements TransportProvider {
  private final String name;
  private final Faults faults;
  private final boolean offersMemory;

  /// Makes a provider of messages alone.
  protected FaultyProvider(String name, Faults faults) {
    this(name, faults, false);
  }

  /// Makes a provider.
  ///
  /// @param offersMemory whether ranks use each other's memory
  protected FaultyProvider(String name, Faults faults, boolean offersMemory) {
    this.name = name;
    this.faults = faults;
    this.offersMemory = offersMemory;
  }

  @Override
  public final String name() {
    return name;
  }

  @Override
  public final Availability probe() {
    return new Availability.Available(1, "ranks as threads of one JVM, with faults");
  }

  @Override
  public final Availability reaches(TransportContext context) {
    return context.addresses().local().isPresent()
        ? new Availability.Available(1, "all ranks are threads of this JVM")
        : new Availability.Unavailable("ranks are processes of their own");
  }

  @Override
  public final Transport open(TransportContext context) {
    var shared = context.addresses().local().orElseThrow();
    Watched neighbors = new Watched(new InProcessNeighbors(context, shared), offersMemory);
    Transport rings = new RingTransport(name, context, neighbors);
    return new FaultyTransport(
        rings, name, faults, offersMemory, context.rank(), () -> neighbors.rings);
  }

  /// Remembers the rings that this rank reads.
  private static final class Watched implements Neighbors {
    private final Neighbors neighbors;
    private final boolean offersMemory;
    private final List<MemorySegment> rings = new CopyOnWriteArrayList<>();

    Watched(Neighbors neighbors, boolean offersMemory) {
      this.neighbors = neighbors;
      this.offersMemory = offersMemory;
    }

    @Override
    public SharedArea offer(
        String key,
        String name,
        long bytes,
        int peer,
        Duration timeout,
        Consumer<MemorySegment> prepare) {
      SharedArea area = neighbors.offer(key, name, bytes, peer, timeout, prepare);
      rings.add(area.segment());
      return area;
    }

    @Override
    public SharedArea find(String key, int peer, Duration timeout) {
      return neighbors.find(key, peer, timeout);
    }

    @Override
    public boolean sharesMemoryWith(int peer) {
      return offersMemory && neighbors.sharesMemoryWith(peer);
    }

    @Override
    public byte[] describe(Registration registration) {
      return neighbors.describe(registration);
    }

    @Override
    public MemorySegment open(int peer, byte[] descriptor) {
      return neighbors.open(peer, descriptor);
    }

    @Override
    public MemorySegment openToWrite(int peer, byte[] descriptor) {
      return neighbors.openToWrite(peer, descriptor);
    }

    @Override
    public void forget(int peer, byte[] descriptor) {
      neighbors.forget(peer, descriptor);
    }

    @Override
    public void close() {
      neighbors.close();
    }
  }
}
