package dev.lockstep.device.neuron;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Program;
import dev.lockstep.device.neuron.hlo.HloModule;
import dev.lockstep.memory.Buffer;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// A program with its tensors, as the sets of tensors that the runtime executes it with. Submitting
/// allocates nothing.
final class NeuronBoundProgram implements BoundProgram, CoreThread.Work {
  private final NeuronProgram program;
  private final Buffer[] buffers;
  private final long inputs;
  private final long outputs;
  private final long ids;
  private final @Nullable MemorySegment idsRead;

  /// Who hears of a failure: a bound program is confined to one stream.
  private volatile @Nullable NeuronStream stream;

  /// @param inputs set of tensors
  /// @param outputs set of tensors
  /// @param ids tensor that the program writes ids to; 0 if it looks no rows up
  /// @param arena owned by the program
  NeuronBoundProgram(
      NeuronProgram program,
      List<Buffer> buffers,
      long inputs,
      long outputs,
      long ids,
      Arena arena) {
    this.program = program;
    this.buffers = buffers.toArray(Buffer[]::new);
    this.inputs = inputs;
    this.outputs = outputs;
    this.ids = ids;
    this.idsRead =
        ids == 0 ? null : arena.allocate(JAVA_INT, 2L * program.module().tables().size());
  }

  @Override
  public Program program() {
    return program;
  }

  boolean belongsTo(NeuronDevice device) {
    return program.belongsTo(device);
  }

  /// Leases the buffers and queues a run; returns its number.
  long submit(NeuronStream from) {
    stream = from;
    program.enter();
    int leased = 0;
    boolean queued = false;
    try {
      for (Buffer buffer : buffers) {
        buffer.acquire();
        leased++;
      }
      long number = program.device().core().submit(this);
      queued = true;
      return number;
    } finally {
      if (!queued) {
        for (int i = 0; i < leased; i++) {
          buffers[i].release();
        }
        program.leave();
      }
    }
  }

  @Override
  public void run() {
    try {
      execute();
    } finally {
      for (Buffer buffer : buffers) {
        buffer.release();
      }
      program.leave();
    }
  }

  @Override
  public void failed(Throwable failure) {
    Objects.requireNonNull(stream).failed(failure);
  }

  private void execute() {
    if (program.module().results() == 0) {
      return;
    }
    NeuronRuntime runtime = program.device().runtime();
    int status = runtime.nrt().execute(program.model(), inputs, outputs);
    if (status != 0) {
      runtime.check(status, "nrt_execute", "program=" + program.graph().name());
    }
    if (idsRead != null) {
      checkIds(runtime, idsRead);
    }
  }

  /// HLO clamps ids that lie outside their table, or skips them: the run is not what was asked for.
  private void checkIds(NeuronRuntime runtime, MemorySegment read) {
    int status = runtime.nrt().tensorRead(ids, read, 0, read.byteSize());
    if (status != 0) {
      runtime.check(status, "nrt_tensor_read", "program=" + program.graph().name());
    }
    List<HloModule.Table> tables = program.module().tables();
    for (int i = 0; i < tables.size(); i++) {
      int least = read.getAtIndex(JAVA_INT, 2L * i);
      int greatest = read.getAtIndex(JAVA_INT, 2L * i + 1);
      HloModule.Table table = tables.get(i);
      if (least < 0 || greatest >= table.rows()) {
        throw new IndexOutOfBoundsException(
            "id lies outside its table: program=%s, op=%s, id=%d, rows=%d"
                .formatted(
                    program.graph().name(),
                    table.label(),
                    least < 0 ? least : greatest,
                    table.rows()));
      }
    }
  }
}
