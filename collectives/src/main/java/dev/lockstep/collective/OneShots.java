package dev.lockstep.collective;

import dev.lockstep.collective.execute.Operation;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.Region;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Collectives on tensors that change from call to call: prepared over memory of the communicator's
/// own, into which a call's tensors are copied and out of which they come. The least recently used
/// go first; since ranks make the same calls in the same order, all of them keep the same ones.
final class OneShots implements AutoCloseable {
  private static final int MOST = 16;
  private static final long MOST_BYTES = 256L << 20;

  /// A prepared collective and the memory that it works in.
  private record Entry(Prepared prepared, @Nullable Buffer staging, long bytes) {
    void close() {
      prepared.close();
      if (staging != null) {
        staging.close();
      }
    }
  }

  private final Job job;
  private final Progress progress;
  private final Preparation preparation;
  private final boolean shared;
  private final Map<CollectiveRequest, Entry> entries = new LinkedHashMap<>(16, 0.75f, true);
  private long bytes;

  OneShots(Job job, Progress progress, Preparation preparation, boolean shared) {
    this.job = job;
    this.progress = progress;
    this.preparation = preparation;
    this.shared = shared;
  }

  /// Returns an operation that has not been started.
  ///
  /// @param request in place
  /// @param from what this rank brings, or null
  /// @param to what this rank gets, or null
  Operation operation(CollectiveRequest request, @Nullable Tensor from, @Nullable Tensor to) {
    Entry entry = entries.get(request);
    if (entry == null) {
      entry = prepare(request);
      entries.put(request, entry);
      bytes += entry.bytes();
      evict();
    }
    List<Operation.Staging> before = new ArrayList<>();
    List<Operation.Staging> after = new ArrayList<>();
    List<Region> touched = new ArrayList<>();
    List<Region> readable = new ArrayList<>(entry.prepared().memory().readable());
    if (entry.staging() != null) {
      MemorySegment staging = entry.staging().segment().asSlice(0, entry.bytes());
      if (from != null) {
        before.add(new Operation.Staging(from.segment(), staging));
        touched.add(from.registration().region());
      }
      if (to != null) {
        after.add(new Operation.Staging(staging, to.segment()));
        touched.add(to.registration().region());
      }
    }
    return new Operation(
        request.kind(),
        request.words(),
        "",
        entry.prepared().program(),
        before,
        after,
        touched,
        readable);
  }

  private Entry prepare(CollectiveRequest request) {
    if (request.kind() == CollectiveKind.BARRIER) {
      return new Entry(preparation.prepare(request, List.of(), null), null, 0);
    }
    long size = request.total() * request.dtype().bytes();
    String name = "staging of " + request.kind().label();
    Buffer staging =
        shared
            ? HostMemory.allocateShared(job.memory(), name, size, job.directory())
            : HostMemory.allocate(job.memory(), name, size);
    try {
      Tensor tensor = Tensor.of(staging, request.dtype(), Shape.of(request.total()));
      List<Tensor> inputs = request.inputs(job.rank()) == 0 ? List.of() : List.of(tensor);
      return new Entry(preparation.prepare(request, inputs, tensor), staging, size);
    } catch (RuntimeException | Error failure) {
      staging.close();
      throw failure;
    }
  }

  private void evict() {
    if (entries.size() <= MOST && bytes <= MOST_BYTES) {
      return;
    }
    progress.drain();
    Iterator<Entry> oldest = entries.values().iterator();
    while (entries.size() > 1 && (entries.size() > MOST || bytes > MOST_BYTES)) {
      Entry entry = oldest.next();
      oldest.remove();
      bytes -= entry.bytes();
      entry.close();
    }
  }

  @Override
  public void close() {
    entries.values().forEach(Entry::close);
    entries.clear();
  }
}
