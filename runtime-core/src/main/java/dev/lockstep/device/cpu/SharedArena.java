package dev.lockstep.device.cpu;

import dev.lockstep.memory.Buffer;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/// The working memory of programs that never run at the same time: as large as the largest of them
/// needs, freed when the last has left. Its members are compiled on one thread, and leave on any.
final class SharedArena {
  private @Nullable Buffer buffer;
  private @Nullable CpuProgram first;
  private long bytes;
  private final AtomicInteger members = new AtomicInteger();

  /// Counts a program in, before [#allocate].
  void join(CpuProgram program, long neededBytes) {
    first = first == null ? program : first;
    bytes = Math.max(bytes, neededBytes);
    members.incrementAndGet();
  }

  void allocate(CpuDevice device, String name) {
    buffer = device.allocate(name, bytes);
  }

  /// Returns what counts as a program's: everything for the first, nothing for the others.
  long bytesOf(CpuProgram program) {
    return program.equals(first) ? bytes : 0;
  }

  long address() {
    return allocated().segment().address();
  }

  private Buffer allocated() {
    Buffer memory = buffer;
    if (memory == null) {
      throw new IllegalStateException("arena is not allocated: members=" + members.get());
    }
    return memory;
  }

  /// Counts a closed program out.
  void leave() {
    if (members.decrementAndGet() == 0) {
      allocated().close();
    }
  }
}
