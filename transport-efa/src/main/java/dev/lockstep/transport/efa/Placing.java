package dev.lockstep.transport.efa;

import dev.lockstep.memory.Region;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Reducer;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import java.lang.foreign.MemorySegment;

/// Puts the parts of a message that arrive where it goes, in the order of its bytes.
final class Placing {
  private Placing() {}

  /// Stores or reduces the next part.
  static void put(Transfer transfer, MemorySegment from, long at, long bytes) {
    Registration target = transfer.sink().target();
    MemorySegment memory = target.region().segment();
    long to = target.offset() + transfer.progress;
    if (transfer.sink() instanceof Sink.Reduce reduce) {
      Reducer.reduce(
          reduce.op(), reduce.dtype(), memory, to, from, at, bytes / reduce.dtype().bytes());
    } else {
      MemorySegment.copy(from, at, memory, to, bytes);
    }
    transfer.progress += bytes;
  }

  /// Notes that the next part was written where it goes.
  ///
  /// @throws IllegalStateException if that memory was closed meanwhile
  static void isThere(Transfer transfer, long bytes) {
    Region region = transfer.sink().target().region();
    if (region.isClosed()) {
      throw new IllegalStateException(
          "memory was closed while a message arrived there: region=" + region.name());
    }
    transfer.progress += bytes;
  }
}
