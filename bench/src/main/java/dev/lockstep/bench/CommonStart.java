package dev.lockstep.bench;

import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.PreparedCollective;
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

/// Lets the ranks begin an operation at the same moment.
///
/// Ranks leave a barrier one after another, as far apart as a word takes from core to core, which
/// is what a short collective takes too: who leaves first, and whether that is the root, would
/// decide what is measured. Ranks of one host have one clock, so they agree on a time, the latest
/// of what each proposes, and wait for it. A rank that has agreed too late, or was away when the
/// time came, says so. Where any sees less than a core for every rank, or they have not one host,
/// they start when they leave a barrier.
final class CommonStart implements TimelySamples.Start, AutoCloseable {
  /// From a rank's proposal to the start: longer than ranks in step take to agree.
  private static final long AHEAD_NANOS = 5_000;

  /// If not even this is long enough, ranks do not run side by side.
  private static final long MOST_AHEAD_NANOS = 1_000_000;

  /// Who begins this much later than agreed was away: a look at the clock takes far less.
  private static final long LATE_NANOS = 200;

  private final PreparedCollective barrier;
  private final boolean could;
  private boolean agrees;
  private long aheadNanos = AHEAD_NANOS;
  private final Buffer time;
  private final PreparedCollective greatest;

  /// Prepares to agree.
  ///
  /// @param barrier borrowed
  CommonStart(Job job, Communicator communicator, PreparedCollective barrier) {
    this.barrier = barrier;
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
    boolean hasCores =
        job.localWorldSize() == ranks && ranks <= Runtime.getRuntime().availableProcessors();
    this.could = greatest(hasCores ? 0 : 1) == 0;
    this.agrees = could;
  }

  /// Returns the greatest of what the ranks say.
  private long greatest(long mine) {
    time.segment().set(ValueLayout.JAVA_LONG, 0, mine);
    greatest.run();
    return time.segment().get(ValueLayout.JAVA_LONG, 0);
  }

  /// Returns when every rank may begin.
  ///
  /// @return whether it is in time on this rank
  boolean together() {
    if (!agrees) {
      barrier.run();
      return true;
    }
    long start = greatest(System.nanoTime() + aheadNanos);
    long now = System.nanoTime();
    while (now < start) {
      Thread.onSpinWait();
      now = System.nanoTime();
    }
    return now - start < LATE_NANOS;
  }

  /// Forgets how late ranks were: the next operation is another one.
  void anew() {
    agrees = could;
    aheadNanos = AHEAD_NANOS;
  }

  @Override
  public boolean isCommon() {
    return agrees;
  }

  @Override
  public boolean later() {
    boolean more = 2 * aheadNanos <= MOST_AHEAD_NANOS;
    aheadNanos *= more ? 2 : 1;
    return more;
  }

  @Override
  public void atBarrier() {
    agrees = false;
  }

  @Override
  public void close() {
    greatest.close();
    time.close();
  }
}
