package dev.lockstep.collective;

import dev.lockstep.collective.execute.Operation;
import dev.lockstep.collective.execute.Program;
import dev.lockstep.collective.execute.Progress;
import dev.lockstep.collective.execute.RunTimes;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.PeerAccess;
import java.util.List;
import java.util.OptionalDouble;

/// A collective bound to its memory and links; its own handle.
final class Prepared implements PreparedCollective, Work {
  /// A peer's memory that is mapped as long as this lives.
  static final class Mapped {
    private final PeerAccess access;
    private final int peer;
    private final byte[] descriptor;

    Mapped(PeerAccess access, int peer, byte[] descriptor) {
      this.access = access;
      this.peer = peer;
      this.descriptor = descriptor;
    }

    void forget() {
      access.forget(peer, descriptor);
    }

    static void forgetAll(List<Mapped> mapped) {
      try (Scope all = new Scope()) {
        mapped.forEach(one -> all.own(one, Mapped::forget));
      }
    }
  }

  private final Progress progress;
  private final Schedule schedule;
  private final OptionalDouble predicted;
  private final Program program;
  private final Memory memory;
  private final List<Mapped> mapped;
  private final Operation operation;
  private final long timeoutNanos;
  private boolean closed;

  Prepared(
      Progress progress,
      Schedule schedule,
      OptionalDouble predicted,
      Program program,
      Memory memory,
      List<Mapped> mapped,
      String callSite,
      long timeoutNanos) {
    this.progress = progress;
    this.schedule = schedule;
    this.predicted = predicted;
    this.program = program;
    this.memory = memory;
    this.mapped = mapped;
    this.timeoutNanos = timeoutNanos;
    this.operation =
        new Operation(
            schedule.request().kind(),
            schedule.words(),
            callSite,
            program,
            memory.before(),
            memory.after(),
            memory.touched(),
            memory.readable());
  }

  boolean belongsTo(Progress other) {
    return progress.equals(other);
  }

  boolean isClosed() {
    return closed;
  }

  /// Returns the operation, to be started with others.
  Progress.Start toStart() {
    requireOpen();
    return new Progress.Start(operation, timeoutNanos);
  }

  Program program() {
    return program;
  }

  Memory memory() {
    return memory;
  }

  @Override
  public Work start() {
    requireOpen();
    progress.start(operation, timeoutNanos, true);
    return this;
  }

  @Override
  public void run() {
    requireOpen();
    progress.run(operation, timeoutNanos);
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("prepared collective is closed: " + schedule.words());
    }
  }

  @Override
  public Schedule schedule() {
    return schedule;
  }

  @Override
  public OptionalDouble predictedNanos() {
    return predicted;
  }

  @Override
  public boolean isDone() {
    return operation.isDone();
  }

  @Override
  public void await() {
    progress.await(operation);
  }

  @Override
  public boolean poll() {
    progress.poll();
    return operation.isDone();
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    progress.settleIfFailed(operation);
    if (operation.isUnderWay()) {
      throw new IllegalStateException(
          "prepared collective is under way: %s (await its run first)".formatted(schedule.words()));
    }
    closed = true;
    RunTimes times = program.times();
    if (times != null) {
      times.log(schedule, predicted);
    }
    try (Scope parts = new Scope()) { // closed from the last
      var _ = parts.own(memory, Memory::close);
      var _ = parts.own(program, Program::close);
      var _ = parts.own(mapped, Mapped::forgetAll);
    }
  }
}
