package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.memory.Scope;
import org.jspecify.annotations.Nullable;

/// The working memory of programs that never run at the same time: as large as the largest of them
/// needs, freed when the last has left. Runs on it wait for one another, whatever their streams.
/// Its members are compiled on one thread.
final class CudaArena {
  private final CudaDevice device;
  private @Nullable CudaBuffer buffer;
  private @Nullable CudaProgram first;
  private long bytes;
  private int members;
  private long event;
  private @Nullable CudaStream last;

  CudaArena(CudaDevice device) {
    this.device = device;
  }

  /// Counts a program in, before [#allocate].
  void join(CudaProgram program, long neededBytes) {
    first = first == null ? program : first;
    bytes = Math.max(bytes, neededBytes);
    members++;
  }

  void allocate(String name) {
    CudaBuffer allocated = device.memory().allocate(name, bytes);
    try {
      event = device.newEvent(Cu.EVENT_DISABLE_TIMING);
    } catch (RuntimeException | Error failure) {
      Scope.afterFailure(failure, allocated::close);
      throw failure;
    }
    buffer = allocated;
  }

  /// Returns what counts as a program's: everything for the first, nothing for the others.
  long bytesOf(CudaProgram program) {
    return program.equals(first) ? bytes : 0;
  }

  long pointer() {
    return allocated().pointer();
  }

  private CudaBuffer allocated() {
    CudaBuffer memory = buffer;
    if (memory == null) {
      throw new IllegalStateException("arena is not allocated: members=" + members);
    }
    return memory;
  }

  /// Launches a graph on a stream, after what ran before on this memory. Allocates nothing.
  synchronized void launch(CudaStream stream, long graph) {
    CudaContext context = device.context();
    if (last != null && last != stream) {
      context.check(
          context.driver().streamWaitEvent(stream.handle(), event, 0), "cuStreamWaitEvent", "");
    }
    context.check(context.driver().graphLaunch(graph, stream.handle()), "cuGraphLaunch", "");
    last = stream;
    int status = context.driver().eventRecord(event, stream.handle());
    if (status != Cu.SUCCESS) {
      stream.drain(); // nothing else could tell when the memory is free
      context.check(status, "cuEventRecord", "");
    }
  }

  /// Counts a closed program out.
  synchronized void leave() {
    if (--members == 0) {
      try (CudaBuffer _ = allocated()) {
        device.destroyEvent(event);
      }
    }
  }
}
