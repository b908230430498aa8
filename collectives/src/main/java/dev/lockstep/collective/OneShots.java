package dev.lockstep.collective;

import dev.lockstep.collective.execute.Operation;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.time.Duration;
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
  // More than a loop has calls that differ, so that each is prepared once; chosen, not measured.
  private static final int MOST = 32;

  // Bounds what a job whose shapes change from call to call keeps of its memory. The newest is kept
  // whatever its size, or it could not run.
  private static final long MOST_BYTES = 256L << 20;
  private static final long ALIGNMENT = 64;

  /// A prepared collective and the memory that it works in.
  ///
  /// @param in where what this rank brings is staged, or null
  /// @param out where what this rank gets is staged, or null; in place the memory of `in`
  /// @param bytes of the largest rank's staging, so that all ranks count alike
  private record Entry(
      Prepared prepared, @Nullable Tensor in, @Nullable Tensor out, long bytes, Buffer staging) {
    void close() {
      try (Scope parts = new Scope()) { // closed from the last
        var _ = parts.own(staging, Buffer::close);
        var _ = parts.own(prepared, Prepared::close);
      }
    }
  }

  private final Job job;
  private final int rank;
  private final Progress progress;
  private final Preparation preparation;
  private final boolean shared;
  private final Map<CollectiveRequest, Entry> entries = new LinkedHashMap<>(16, 0.75f, true);
  private long bytes;

  OneShots(Job job, int rank, Progress progress, Preparation preparation, boolean shared) {
    this.job = job;
    this.rank = rank;
    this.progress = progress;
    this.preparation = preparation;
    this.shared = shared;
  }

  /// Returns an operation that has not been started.
  ///
  /// @param request in place where input and output are the same elements, else out of place
  /// @param from what this rank brings, or null
  /// @param to what this rank gets, or null
  /// @param deadline by when all ranks must have called it, where it has to be prepared
  Operation operation(
      CollectiveRequest request, @Nullable Tensor from, @Nullable Tensor to, Duration deadline) {
    Entry entry = entries.get(request);
    if (entry == null) {
      entry = prepare(request, deadline);
      entries.put(request, entry);
      bytes += entry.bytes();
      evict();
    }
    List<Operation.Staging> before = new ArrayList<>();
    List<Operation.Staging> after = new ArrayList<>();
    List<Region> touched = new ArrayList<>();
    if (from != null && entry.in() != null) {
      before.add(new Operation.Staging(from.segment(), entry.in().segment()));
      touched.add(from.registration().region());
    }
    if (to != null && entry.out() != null) {
      after.add(new Operation.Staging(entry.out().segment(), to.segment()));
      touched.add(to.registration().region());
    }
    return new Operation(
        request.kind(),
        entry.prepared().schedule().words(),
        "",
        entry.prepared().program(),
        before,
        after,
        touched,
        entry.prepared().memory().readable());
  }

  private Entry prepare(CollectiveRequest request, Duration deadline) {
    DType dtype = request.dtype();
    long brings = request.inputs(rank) == 0 ? 0 : request.inputElements(rank);
    long gets = request.outputElements(rank);
    long outAt =
        request.inPlace() ? 0 : Math.ceilDiv(brings * dtype.bytes(), ALIGNMENT) * ALIGNMENT;
    long size = Math.max(brings * dtype.bytes(), outAt + gets * dtype.bytes());
    String name = "staging of " + request.kind().label();
    Buffer staging =
        shared
            ? HostMemory.allocateShared(job.memory(), name, size, job.directory())
            : HostMemory.allocate(job.memory(), name, size);
    try {
      Tensor in =
          request.inputs(rank) == 0 ? null : new Tensor(staging, 0, dtype, Shape.of(brings));
      Tensor out = gets == 0 ? null : new Tensor(staging, outAt, dtype, Shape.of(gets));
      Prepared prepared =
          preparation.prepareNext(request, in == null ? List.of() : List.of(in), out, deadline);
      return new Entry(prepared, in, out, largest(request) * dtype.bytes(), staging);
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, staging::close);
      throw failure;
    }
  }

  private static long largest(CollectiveRequest request) {
    long most = 0;
    for (int rank = 0; rank < request.ranks(); rank++) {
      most = Math.max(most, request.inputElements(rank) + request.outputElements(rank));
    }
    return most;
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
    try (Scope all = new Scope()) {
      entries.values().forEach(entry -> all.own(entry, Entry::close));
    }
    entries.clear();
  }
}
