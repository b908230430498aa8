package dev.lockstep.transport.efa;

import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import dev.lockstep.transport.efa.ffi.QueueCalls;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/// A libfabric whose completions come in any order and late, as on a wire that orders nothing:
/// those of frames that arrived, of segments that were written here, and of what was sent. It also
/// refuses operations now and then, as a full queue does.
final class ShufflingLibfabric implements Libfabric {
  private static final long ENTRY = Layouts.CQ_DATA_ENTRY.byteSize();
  private static final int HELD = 12;

  private final Libfabric library;
  private final SplittableRandom random;
  private final Map<Long, List<byte[]>> held = new HashMap<>();

  ShufflingLibfabric(Libfabric library, long seed) {
    this.library = library;
    this.random = new SplittableRandom(seed);
  }

  private boolean refuses() {
    return random.nextInt(8) == 0;
  }

  @Override
  public long cqRead(QueueCalls queue, long entries, long count) {
    List<byte[]> waiting = held.computeIfAbsent(queue.queue(), _ -> new ArrayList<>());
    MemorySegment room = library.memory(entries, count * ENTRY);
    if (waiting.size() < HELD) {
      long found = library.cqRead(queue, entries, count);
      if (found < 0 && found != -Fi.EAGAIN) {
        return found;
      }
      for (int i = 0; i < found; i++) {
        waiting.add(room.asSlice(i * ENTRY, ENTRY).toArray(ValueLayout.JAVA_BYTE));
      }
    }
    int told = 0;
    while (told < count && !waiting.isEmpty() && random.nextInt(3) > 0) {
      byte[] entry = waiting.remove(random.nextInt(waiting.size()));
      MemorySegment.copy(MemorySegment.ofArray(entry), 0, room, told * ENTRY, ENTRY);
      told++;
    }
    return told == 0 ? -Fi.EAGAIN : told;
  }

  @Override
  public long send(
      EndpointCalls endpoint,
      long buffer,
      long bytes,
      long descriptor,
      long destination,
      long context) {
    return refuses()
        ? -Fi.EAGAIN
        : library.send(endpoint, buffer, bytes, descriptor, destination, context);
  }

  @Override
  public long inject(EndpointCalls endpoint, long buffer, long bytes, long destination) {
    return refuses() ? -Fi.EAGAIN : library.inject(endpoint, buffer, bytes, destination);
  }

  @Override
  public long writedata(
      EndpointCalls endpoint,
      long buffer,
      long bytes,
      long descriptor,
      long data,
      long destination,
      long address,
      long key,
      long context) {
    return refuses()
        ? -Fi.EAGAIN
        : library.writedata(
            endpoint, buffer, bytes, descriptor, data, destination, address, key, context);
  }

  @Override
  public long recv(EndpointCalls endpoint, long buffer, long bytes, long descriptor, long context) {
    return refuses() ? -Fi.EAGAIN : library.recv(endpoint, buffer, bytes, descriptor, context);
  }

  @Override
  public int version() {
    return library.version();
  }

  @Override
  public String strerror(int error) {
    return library.strerror(error);
  }

  @Override
  public int getinfo(
      int version,
      MemorySegment node,
      MemorySegment service,
      long flags,
      MemorySegment hints,
      MemorySegment info) {
    return library.getinfo(version, node, service, flags, hints, info);
  }

  @Override
  public void freeinfo(long info) {
    library.freeinfo(info);
  }

  @Override
  public int fabric(long attributes, MemorySegment fabric) {
    return library.fabric(attributes, fabric);
  }

  @Override
  public int domain(long fabric, long info, MemorySegment domain) {
    return library.domain(fabric, info, domain);
  }

  @Override
  public int avOpen(long domain, MemorySegment attributes, MemorySegment av) {
    return library.avOpen(domain, attributes, av);
  }

  @Override
  public int cqOpen(long domain, MemorySegment attributes, MemorySegment cq) {
    return library.cqOpen(domain, attributes, cq);
  }

  @Override
  public int endpoint(long domain, long info, MemorySegment endpoint) {
    return library.endpoint(domain, info, endpoint);
  }

  @Override
  public int bind(long object, long other, long flags) {
    return library.bind(object, other, flags);
  }

  @Override
  public int enable(long object) {
    return library.enable(object);
  }

  @Override
  public int setopt(long endpoint, int level, int name, MemorySegment value) {
    return library.setopt(endpoint, level, name, value);
  }

  @Override
  public int getname(long endpoint, MemorySegment name, MemorySegment bytes) {
    return library.getname(endpoint, name, bytes);
  }

  @Override
  public int close(long object) {
    return library.close(object);
  }

  @Override
  public int avInsert(long av, MemorySegment name, MemorySegment address) {
    return library.avInsert(av, name, address);
  }

  @Override
  public int mrReg(long domain, long buffer, long bytes, long access, long key, MemorySegment mr) {
    return library.mrReg(domain, buffer, bytes, access, key, mr);
  }

  @Override
  public int mrRegattr(long domain, MemorySegment attributes, MemorySegment mr) {
    return library.mrRegattr(domain, attributes, mr);
  }

  @Override
  public long mrDescriptor(long mr) {
    return library.mrDescriptor(mr);
  }

  @Override
  public long mrKey(long mr) {
    return library.mrKey(mr);
  }

  @Override
  public EndpointCalls calls(long endpoint) {
    return library.calls(endpoint);
  }

  @Override
  public QueueCalls queue(long cq) {
    return library.queue(cq);
  }

  @Override
  public long cqReaderr(QueueCalls queue, MemorySegment entry) {
    return library.cqReaderr(queue, entry);
  }

  @Override
  public String cqStrerror(QueueCalls queue, int providerError, long errorData) {
    return library.cqStrerror(queue, providerError, errorData);
  }

  @Override
  public MemorySegment memory(long address, long bytes) {
    return library.memory(address, bytes);
  }

  @Override
  public String string(long address) {
    return library.string(address);
  }
}
