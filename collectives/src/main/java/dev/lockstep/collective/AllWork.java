package dev.lockstep.collective;

import java.util.List;

/// The work of several collectives.
///
/// @param works each
record AllWork(List<? extends Work> works) implements Work {
  @Override
  public boolean isDone() {
    boolean done = true;
    for (Work work : works) {
      done &= work.isDone();
    }
    return done;
  }

  @Override
  public void await() {
    for (Work work : works) {
      work.await();
    }
  }

  @Override
  public boolean poll() {
    boolean done = true;
    for (Work work : works) {
      done &= work.poll();
    }
    return done;
  }
}
