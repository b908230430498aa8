package dev.lockstep.device.cpu;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Program;
import dev.lockstep.memory.Buffer;

/// A program with the addresses of its tensors.
final class CpuBoundProgram implements BoundProgram {
  private final CpuProgram program;
  private final Frame frame;
  private final Buffer[] buffers;

  CpuBoundProgram(CpuProgram program, Frame frame, Buffer[] buffers) {
    this.program = program;
    this.frame = frame;
    this.buffers = buffers;
  }

  @Override
  public Program program() {
    return program;
  }

  boolean belongsTo(CpuDevice device) {
    return program.belongsTo(device);
  }

  /// Runs the program while its buffers are leased; allocates nothing.
  void run() {
    int leased = 0;
    try {
      for (Buffer buffer : buffers) {
        buffer.acquire();
        leased++;
      }
      program.run(frame);
    } finally {
      for (int i = 0; i < leased; i++) {
        buffers[i].release();
      }
    }
  }
}
