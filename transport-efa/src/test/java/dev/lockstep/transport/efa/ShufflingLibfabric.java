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
final class ShufflingLibfabric extends ForwardingLibfabric {
  private static final long ENTRY = Layouts.CQ_DATA_ENTRY.byteSize();
  private static final int HELD = 12;

  private final SplittableRandom random;
  private final Map<Long, List<byte[]>> held = new HashMap<>();

  ShufflingLibfabric(Libfabric library, long seed) {
    super(library);
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
  public long injectdata(
      EndpointCalls endpoint, long buffer, long bytes, long data, long destination) {
    return refuses() ? -Fi.EAGAIN : library.injectdata(endpoint, buffer, bytes, data, destination);
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
}
