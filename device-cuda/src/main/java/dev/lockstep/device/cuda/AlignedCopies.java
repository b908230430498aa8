package dev.lockstep.device.cuda;

import dev.lockstep.memory.Scope;
import java.util.HashMap;
import java.util.Map;

/// Memory for what products read or write where cuBLASLt cannot: tensors that are bound at
/// addresses which are no multiples of [LtProduct#ALIGNMENT]. The recorded graph copies there and
/// back. Made when a program is bound, and the program's; a tensor has one copy, however many
/// products use it.
final class AlignedCopies implements AutoCloseable {
  private final CudaMemory memory;
  private final String program;
  private final Map<Span, CudaBuffer> copies = new HashMap<>();

  /// Bytes of the device.
  private record Span(long address, long bytes) {}

  /// Makes no copy yet.
  AlignedCopies(CudaMemory memory, String program) {
    this.memory = memory;
    this.program = program;
  }

  /// Makes room for a copy, if one is needed; waits for the GPU.
  ///
  /// @throws dev.lockstep.failure.MemoryBudgetException if the pool or the GPU has too little
  void reserve(long address, long bytes) {
    if (!isAligned(address)) {
      copies.computeIfAbsent(
          new Span(address, bytes),
          span -> memory.allocate("aligned copy for program " + program, span.bytes));
    }
  }

  /// Returns the address itself, or where its copy is.
  long at(long address, long bytes) {
    CudaBuffer copy = copies.get(new Span(address, bytes));
    return copy == null ? address : copy.pointer();
  }

  static boolean isAligned(long address) {
    return address % LtProduct.ALIGNMENT == 0;
  }

  /// Frees all copies, also where one of them cannot be freed.
  @Override
  public void close() {
    try (Scope scope = new Scope()) {
      copies.values().forEach(copy -> scope.own(copy, CudaBuffer::close));
      copies.clear();
    }
  }
}
