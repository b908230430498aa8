package dev.lockstep.transport.shm;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.Registration;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.ring.Neighbors;
import dev.lockstep.transport.ring.SharedArea;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel.MapMode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Processes of one host map each other's files: memfds through `/proc/PID/fd/N`, or files in the
/// job's directory between process namespaces that do not see each other.
final class ShmNeighbors implements Neighbors {
  private static final Logger LOG = LoggerFactory.getLogger(ShmNeighbors.class);
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final int RANGE_BYTES = 2 * Long.BYTES;

  private final TransportContext context;
  private final String namespace;
  private final Map<Integer, Boolean> seen = new ConcurrentHashMap<>();
  private final Map<FileAddress, Mapped> mappings = new HashMap<>();

  /// Tells the peers of which process namespace this rank is.
  ShmNeighbors(TransportContext context) {
    this.context = context;
    this.namespace = namespace(context.rank());
    context
        .addresses()
        .publish(namespaceKey(context.rank()), namespace.getBytes(StandardCharsets.UTF_8));
  }

  /// A namespace that cannot be told is nobody else's.
  private static String namespace(int rank) {
    try {
      return Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).strip()
          + "/"
          + Files.readSymbolicLink(Path.of("/proc/self/ns/pid"));
    } catch (IOException hidden) {
      return "unknown, rank=" + rank;
    }
  }

  private boolean sees(int peer, Duration timeout) {
    Boolean known = seen.get(peer);
    if (known == null) {
      byte[] theirs = context.addresses().lookup(namespaceKey(peer), timeout);
      known = namespace.equals(new String(theirs, StandardCharsets.UTF_8));
      seen.put(peer, known);
    }
    return known;
  }

  private static String namespaceKey(int rank) {
    return ShmTransportProvider.NAME + "/namespace/" + rank;
  }

  @Override
  public SharedArea offer(
      String key,
      String name,
      long bytes,
      int peer,
      Duration timeout,
      Consumer<MemorySegment> prepare) {
    Buffer buffer =
        sees(peer, timeout)
            ? HostMemory.allocateShared(context.memory(), name, bytes, context.directory())
            : HostMemory.allocateSharedIn(context.directory(), context.memory(), name, bytes);
    try {
      prepare.accept(buffer.segment());
      FileAddress address = FileAddress.of(buffer.registration().region());
      context.addresses().publish(key, address.encode());
      return new Offered(buffer, buffer.segment());
    } catch (RuntimeException failure) {
      buffer.close();
      throw failure;
    }
  }

  @Override
  public SharedArea find(String key, int peer, Duration timeout) {
    byte[] published = context.addresses().lookup(key, timeout);
    FileAddress address = FileAddress.decode(peer, ByteBuffer.wrap(published));
    return Mapping.of(address, peer, MapMode.READ_WRITE);
  }

  @Override
  public boolean sharesMemoryWith(int peer) {
    boolean known = seen.containsKey(peer);
    boolean sees = sees(peer, PATIENCE);
    if (!sees && !known) {
      LOG.info(
          "ranks {} and {} live in different process namespaces: what they exchange is copied",
          context.rank(),
          peer);
    }
    return sees;
  }

  /// Offset and length of the range, then where the region lies.
  @Override
  public byte[] describe(Registration registration) {
    byte[] region = FileAddress.of(registration.region()).encode();
    return ByteBuffer.allocate(RANGE_BYTES + region.length)
        .putLong(registration.offset())
        .putLong(registration.bytes())
        .put(region)
        .array();
  }

  @Override
  public MemorySegment open(int peer, byte[] descriptor) {
    return open(peer, descriptor, MapMode.READ_ONLY);
  }

  @Override
  public MemorySegment openToWrite(int peer, byte[] descriptor) {
    return open(peer, descriptor, MapMode.READ_WRITE);
  }

  private synchronized MemorySegment open(int peer, byte[] descriptor, MapMode mode) {
    FileAddress address = address(peer, descriptor);
    ByteBuffer fields = ByteBuffer.wrap(descriptor);
    long offset = fields.getLong();
    long bytes = fields.getLong();
    if (offset < 0 || bytes < 0 || offset > address.bytes() - bytes) {
      throw new TransportException(
          "rank " + peer,
          "peer's range does not fit its region: peer=%d, regionBytes=%d, offset=%d, bytes=%d"
              .formatted(peer, address.bytes(), offset, bytes),
          null);
    }
    Mapped mapped = mappings.getOrDefault(address, new Mapped());
    MemorySegment range = mapped.as(mode, address, peer).segment().asSlice(offset, bytes);
    mapped.uses++;
    mappings.put(address, mapped); // only now: one that could not be mapped is not in use
    return range;
  }

  @Override
  public synchronized void forget(int peer, byte[] descriptor) {
    FileAddress address = address(peer, descriptor);
    Mapped mapped = mappings.get(address);
    if (mapped != null && --mapped.uses == 0) {
      mappings.remove(address);
      mapped.close();
    }
  }

  /// Returns of how many regions of peers something is mapped.
  synchronized int mappedRegions() {
    return mappings.size();
  }

  private static FileAddress address(int peer, byte[] descriptor) {
    if (descriptor.length < RANGE_BYTES) {
      throw new TransportException(
          "rank " + peer, "peer's descriptor is garbage: peer=" + peer, null);
    }
    return FileAddress.decode(peer, ByteBuffer.wrap(descriptor).position(RANGE_BYTES));
  }

  @Override
  public synchronized void close() {
    try (Scope all = new Scope()) {
      mappings.values().forEach(mapped -> all.own(mapped, Mapped::close));
      mappings.clear();
    }
  }

  private record Offered(Buffer buffer, MemorySegment segment) implements SharedArea {
    @Override
    public void close() {
      buffer.close();
    }
  }

  /// A peer's region, mapped for reading, for writing too, or both; and how often it is in use.
  private static final class Mapped {
    private final Map<MapMode, Mapping> modes = new HashMap<>();
    private int uses;

    Mapping as(MapMode mode, FileAddress address, int peer) {
      return modes.computeIfAbsent(mode, wanted -> Mapping.of(address, peer, wanted));
    }

    void close() {
      try (Scope all = new Scope()) {
        modes.values().forEach(mapping -> all.own(mapping, Mapping::close));
      }
    }
  }

  /// A peer's memory in this process. It outlives the peer: the kernel keeps the pages.
  private static final class Mapping implements SharedArea {
    private final Arena arena;
    private final MemorySegment segment;

    private Mapping(Arena arena, MemorySegment segment) {
      this.arena = arena;
      this.segment = segment;
    }

    @SuppressWarnings("MustBeClosedChecker") // the mapping owns its arena
    static Mapping of(FileAddress address, int peer, MapMode mode) {
      Arena arena = Arena.ofShared();
      try {
        return new Mapping(arena, address.map(peer, mode, arena));
      } catch (RuntimeException failure) {
        arena.close();
        throw failure;
      }
    }

    @Override
    public MemorySegment segment() {
      return segment;
    }

    @Override
    public void close() {
      if (arena.scope().isAlive()) {
        arena.close();
      }
    }
  }
}
