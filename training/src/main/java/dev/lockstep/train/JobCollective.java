package dev.lockstep.train;

import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.Work;
import dev.lockstep.train.parallel.Exchange;
import org.jspecify.annotations.Nullable;

/// A collective of a job's ranks, or a message: a broadcast to one rank. Confined to the step's
/// thread.
final class JobCollective implements Exchange.Prepared, Exchange.Message {
  private final PreparedCollective prepared;
  private final boolean isTold;
  private @Nullable Work started;

  /// Takes over what was prepared.
  ///
  /// @param isTold whether the peer hears of a start at once, before this rank goes on to compute
  JobCollective(PreparedCollective prepared, boolean isTold) {
    this.prepared = prepared;
    this.isTold = isTold;
  }

  @Override
  public void run() {
    prepared.run();
  }

  @Override
  public void start() {
    Work work = prepared.start();
    started = work;
    if (isTold) {
      var _ = work.poll();
    }
  }

  @Override
  public boolean poll() {
    Work work = started;
    return work == null || work.poll();
  }

  @Override
  public void await() {
    Work work = started;
    if (work != null) {
      work.await();
      started = null;
    }
  }

  @Override
  public void close() {
    prepared.close();
  }
}
