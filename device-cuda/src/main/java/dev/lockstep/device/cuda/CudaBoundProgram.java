package dev.lockstep.device.cuda;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Program;
import dev.lockstep.memory.Buffer;
import java.util.List;

/// A program with its tensors: an executable graph of the driver's, owned by the program.
final class CudaBoundProgram implements BoundProgram {
  private final CudaProgram program;
  private final long graph;
  private final Buffer[] buffers;

  CudaBoundProgram(CudaProgram program, long graph, List<Buffer> buffers) {
    this.program = program;
    this.graph = graph;
    this.buffers = buffers.toArray(Buffer[]::new);
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

  /// Gives back the leases of one run that is over.
  void ended() {
    for (Buffer buffer : buffers) {
      buffer.release();
    }
    program.end();
  }
}
