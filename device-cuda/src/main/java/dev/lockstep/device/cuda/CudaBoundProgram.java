package dev.lockstep.device.cuda;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Program;
import dev.lockstep.device.plan.Binding;
import dev.lockstep.memory.Buffer;
import org.jspecify.annotations.Nullable;

/// A program with its tensors: an executable graph of the driver's, owned by the program.
final class CudaBoundProgram implements BoundProgram {
  private final CudaProgram program;
  private final long graph;
  private final Buffer[] buffers;
  private final BoundBytes bytes;
  private final @Nullable ActionTimes times;

  CudaBoundProgram(CudaProgram program, long graph, Binding binding, @Nullable ActionTimes times) {
    this.program = program;
    this.graph = graph;
    this.buffers = binding.buffers().toArray(Buffer[]::new);
    this.bytes = BoundBytes.of(binding);
    this.times = times;
  }

  @Override
  public Program program() {
    return program;
  }

  CudaProgram owner() {
    return program;
  }

  /// Leases what is bound and launches the graph; allocates nothing.
  ///
  /// @throws IllegalStateException if a buffer or the program is closed; no lease is left then
  void launch(CudaStream stream) {
    program.begin();
    int leased = 0;
    boolean launched = false;
    try {
      for (Buffer buffer : buffers) {
        buffer.acquire();
        leased++;
      }
      program.arena().launch(stream, graph);
      launched = true;
    } finally {
      if (!launched) {
        for (int i = 0; i < leased; i++) {
          buffers[i].release();
        }
        program.end();
      }
    }
  }

  /// The bytes that it is bound to.
  BoundBytes bytes() {
    return bytes;
  }

  /// Whether each run is waited for and the times of its actions are taken.
  boolean isTimed() {
    return times != null;
  }

  /// Counts in the times of the last run, which is over.
  void takeTimes() {
    if (times != null) {
      program.add(times.nanos());
    }
  }

  /// Gives back the leases of one run that is over.
  void ended() {
    for (Buffer buffer : buffers) {
      buffer.release();
    }
    program.end();
  }
}
