package dev.lockstep.device.cuda;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/// Four words of host memory that a program's kernels write when an id lies outside its table: 1,
/// the id, its position, and the number of rows. Read once the program has run.
final class FaultWords implements AutoCloseable {
  private static final int WORDS = 4;

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

  /// Returns what was wrong and forgets it, or null.
  @Nullable IndexOutOfBoundsException take() {
    MemorySegment words = memory.segment();
    if (words.getAtIndex(ValueLayout.JAVA_INT, 0) == 0) {
      return null;
    }
    IndexOutOfBoundsException fault =
        new IndexOutOfBoundsException(
            "id lies outside its table: id=%d, position=%d, rows=%d, program=%s"
                .formatted(
                    words.getAtIndex(ValueLayout.JAVA_INT, 1),
                    words.getAtIndex(ValueLayout.JAVA_INT, 2),
                    words.getAtIndex(ValueLayout.JAVA_INT, 3),
                    program));
    words.fill((byte) 0);
    return fault;
  }

  /// Frees the words; the context is current.
  @Override
  public void close() {
    memory.close();
  }
}
