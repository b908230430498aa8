package dev.lockstep.device.cpu;

import org.jspecify.annotations.Nullable;

/// One kernel call of a planned program. Addresses come from the frame of each run; running
/// allocates nothing.
abstract class Step implements ThreadTeam.Task {
  private @Nullable Frame frame;

  /// Scratch that the step's threads share.
  long sharedBytes() {
    return 0;
  }

  /// Scratch of each thread.
  long workerBytes() {
    return 0;
  }

  /// Runs the step; not re-entrant.
  final void run(Frame now) {
    frame = now;
    execute();
  }

  /// Takes addresses from [#frame] and does the work, in parallel by [#parallel].
  abstract void execute();

  /// Does tiles `[from, to)` of the step's main part.
  @Override
  public abstract void run(int worker, int from, int to);

  final Frame frame() {
    Frame now = frame;
    if (now == null) {
      throw new IllegalStateException("step has not been run: step=" + this);
    }
    return now;
  }

  final long at(int value) {
    return frame().at(value);
  }

  final KernelSet kernels() {
    return frame().kernels();
  }

  final void parallel(int tiles) {
    frame().team().run(this, tiles);
  }

  /// Returns the kernel's name in printed plans.
  String label() {
    return getClass().getSimpleName();
  }
}
