package dev.lockstep.collective;

import dev.lockstep.collective.execute.Operation;
import dev.lockstep.collective.execute.Progress;

/// One run of a collective on tensors of its own.
///
/// @param progress moves it
/// @param operation the run
record StartedWork(Progress progress, Operation operation) implements Work {
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
}
