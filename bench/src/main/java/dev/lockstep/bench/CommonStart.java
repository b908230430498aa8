package dev.lockstep.bench;

import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.plan.AgreedStart;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/// Lets the ranks begin an operation at the same moment ([AgreedStart]), by collectives of their
/// communicator.
final class CommonStart implements TimelySamples.Start, AutoCloseable {
  /// A few turns of Linux's scheduler.
  private static final long REST_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

  private final Buffer time;
  private final PreparedCollective greatest;
  private final AgreedStart start;

  /// Prepares to agree.
  ///
  /// @param barrier borrowed
  CommonStart(Job job, Communicator communicator, PreparedCollective barrier) {
    int ranks = job.worldSize();
    this.time = HostMemory.allocateShared(job.memory(), "perf start", 8, job.directory());
    Tensor tensor = Tensor.of(time, DType.I64, Shape.of(1));
    this.greatest =
        communicator.prepare(
            CollectiveRequest.allReduce(
                DType.I64,
                new ReduceOp.Max(),
                1,
                true,
                communicator.topology(),
                LaneSplit.onePerRank(ranks),
                Mode.SAME_BITS),
            List.of(tensor),
            tensor);
    boolean mayHaveACore = job.localWorldSize() == ranks && job.mayHaveProcessor(ranks);
    this.start = new AgreedStart(barrier::run, this::greatest, mayHaveACore);
  }

  private long greatest(long mine) {
    time.segment().set(ValueLayout.JAVA_LONG, 0, mine);
    greatest.run();
    return time.segment().get(ValueLayout.JAVA_LONG, 0);
  }

  /// Returns when every rank may begin.
  ///
  /// @return whether it is in time on this rank
  boolean together() {
    return start.await();
  }

  /// Forgets how late ranks were: the next operation is another one.
  void anew() {
    start.anew();
  }

  @Override
  public boolean isCommon() {
    return start.agrees();
  }

  @Override
  public boolean later() {
    return start.later();
  }

  @Override
  public void rest() {
    LockSupport.parkNanos(REST_NANOS);
  }

  @Override
  public void atBarrier() {
    start.giveUp();
  }

  @Override
  public void close() {
    greatest.close();
    time.close();
  }
}
