package dev.lockstep.device.cuda;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/// Words of host memory that a program's kernels write when an id lies outside its table: 1, the
/// id, its position, the number of rows, and whether a kernel has begun to write them. Read once
/// the program has run, while a later run of it may be under way: the first word says that those
/// after it are whole, and the last is taken back last.
final class FaultWords implements AutoCloseable {
  private static final int WORDS = 5;
  private static final int WRITER = 4;

  private final PinnedMemory memory;
  private final String program;

  /// Allocates the words, zero; the context is current.
  FaultWords(CudaContext context, String program) {
    this.memory = new PinnedMemory(context, WORDS * Integer.BYTES);
    this.program = program;
  }

  long address() {
    return memory.segment().address();
  }

  /// Whether something was wrong.
  boolean areSet() {
    return memory.segment().getAtIndex(ValueLayout.JAVA_INT, 0) != 0;
  }

  /// Returns what was wrong and forgets it, or null.
  @Nullable IndexOutOfBoundsException take() {
    if (!areSet()) {
      return null;
    }
    MemorySegment words = memory.segment();
    VarHandle.acquireFence();
    IndexOutOfBoundsException fault =
        new IndexOutOfBoundsException(
            "id lies outside its table: id=%d, position=%d, rows=%d, program=%s"
                .formatted(
                    words.getAtIndex(ValueLayout.JAVA_INT, 1),
                    words.getAtIndex(ValueLayout.JAVA_INT, 2),
                    words.getAtIndex(ValueLayout.JAVA_INT, 3),
                    program));
    words.asSlice(0, WRITER * Integer.BYTES).fill((byte) 0);
    VarHandle.releaseFence();
    words.setAtIndex(ValueLayout.JAVA_INT, WRITER, 0);
    return fault;
  }

  /// Frees the words; the context is current.
  @Override
  public void close() {
    memory.close();
  }
}
