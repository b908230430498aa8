package dev.lockstep.transport.inprocess;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Backing;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.ring.Neighbors;
import dev.lockstep.transport.ring.SharedArea;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentMap;
import java.util.function.Consumer;

/// Ranks of one JVM hand each other segments and regions by reference, through the objects that
/// their job shares.
final class InProcessNeighbors implements Neighbors {
  private static final byte[] HERE = {1};

  private final TransportContext context;
  private final ConcurrentMap<String, Object> shared;
  private final Map<Region, Integer> described = new HashMap<>();
  private int descriptions;

  InProcessNeighbors(TransportContext context, ConcurrentMap<String, Object> shared) {
    this.context = context;
    this.shared = shared;
  }

  @Override
  public SharedArea offer(
      String key,
      String name,
      long bytes,
      int peer,
      Duration timeout,
      Consumer<MemorySegment> prepare) {
    Buffer buffer = HostMemory.allocate(context.memory(), name, bytes);
    Offered offered = new Offered(key, buffer, shared);
    try {
      prepare.accept(buffer.segment());
      shared.put(key, offered);
      context.addresses().publish(key, HERE);
      return offered;
    } catch (RuntimeException failure) {
      offered.close();
      throw failure;
    }
  }

  @Override
  public SharedArea find(String key, int peer, Duration timeout) {
    var _ = context.addresses().lookup(key, timeout);
    if (shared.get(key) instanceof Offered offered && !offered.buffer.isClosed()) {
      return new Found(offered);
    }
    throw new TransportException(
        "rank " + peer, "peer has closed its end: peer=" + peer + ", key=" + key, null);
  }

  @Override
  public boolean sharesMemoryWith(int peer) {
    return true;
  }

  /// A region's number, then offset and length of the range.
  @Override
  public synchronized byte[] describe(Registration registration) {
    Region region = registration.region();
    if (region.backing() instanceof Backing.DeviceMemory) {
      throw new IllegalArgumentException(
          "region is not memory of the host: region=" + region.name());
    }
    described.keySet().removeIf(known -> known.isClosed() && withdraw(known));
    Integer number = described.get(region);
    if (number == null) {
      number = descriptions++;
      described.put(region, number);
      shared.put(regionKey(context.rank(), number), region);
    }
    return ByteBuffer.allocate(20)
        .putInt(number)
        .putLong(registration.offset())
        .putLong(registration.bytes())
        .array();
  }

  private boolean withdraw(Region region) {
    Integer number = described.get(region);
    return number != null && shared.remove(regionKey(context.rank(), number)) != null;
  }

  @Override
  public MemorySegment open(int peer, byte[] descriptor) {
    return openToWrite(peer, descriptor).asReadOnly();
  }

  @Override
  public MemorySegment openToWrite(int peer, byte[] descriptor) {
    ByteBuffer fields = ByteBuffer.wrap(descriptor);
    if (descriptor.length != 20
        || !(shared.get(regionKey(peer, fields.getInt())) instanceof Region region)) {
      throw new TransportException(
          "rank " + peer, "peer's memory is not known: peer=" + peer, null);
    }
    try {
      return region.segment().asSlice(fields.getLong(), fields.getLong());
    } catch (IllegalStateException | IndexOutOfBoundsException gone) {
      throw new TransportException(
          "rank " + peer,
          "peer's memory cannot be opened: peer=" + peer + ", region=" + region.name(),
          gone);
    }
  }

  @Override
  public void forget(int peer, byte[] descriptor) {
    // Nothing was mapped.
  }

  @Override
  public synchronized void close() {
    described.keySet().removeIf(this::withdraw);
  }

  private static String regionKey(int rank, int number) {
    return InProcessTransportProvider.NAME + "/region/" + rank + "/" + number;
  }

  /// Memory of this rank that a peer may have found. Its methods wait for one another.
  private static final class Offered implements SharedArea {
    private final String key;
    private final Buffer buffer;
    private final MemorySegment segment;
    private final ConcurrentMap<String, Object> shared;

    Offered(String key, Buffer buffer, ConcurrentMap<String, Object> shared) {
      this.key = key;
      this.buffer = buffer;
      this.segment = buffer.segment();
      this.shared = shared;
    }

    @Override
    public MemorySegment segment() {
      return segment;
    }

    @Override
    public synchronized void use(Runnable access) {
      if (!buffer.isClosed()) {
        access.run();
      }
    }

    @Override
    public synchronized void close() {
      shared.remove(key, this);
      buffer.close();
    }
  }

  /// The rank that offered it frees it.
  private record Found(Offered offered) implements SharedArea {
    @Override
    public MemorySegment segment() {
      return offered.segment;
    }

    @Override
    public void use(Runnable access) {
      offered.use(access);
    }

    @Override
    public void close() {
      // Nothing was mapped.
    }
  }
}
