package dev.lockstep.collective;

import dev.lockstep.collective.execute.Members;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.TimeUnit;

/// Lets ranks begin what is measured at the same moment. They leave a barrier as far apart as a
/// signal takes, which is what short schedules take too.
///
/// Ranks of one host have one clock and agree on a time; where a rank has no core to itself, and
/// between hosts, they begin when they leave a barrier.
final class FitStart {
  /// From a rank's proposal to the start: longer than ranks in step take to agree.
  private static final long AHEAD_NANOS = 5_000;

  /// A start that is further away is by another clock.
  private static final long FAR_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  /// Who begins this much later than agreed was away.
  private static final long LATE_NANOS = 200;

  private final Prepared barrier;
  private final Buffer time;
  private final Prepared greatest;
  private final boolean eachHasACore;
  private boolean agrees;

  /// Makes the start of one rank; all ranks together.
  ///
  /// @param core borrowed
  /// @param barrier borrowed
  /// @param time of 8 bytes at least; borrowed
  FitStart(Core core, Prepared barrier, Buffer time) {
    this.barrier = barrier;
    this.time = time;
    Tensor tensor = new Tensor(time, 0, DType.I64, Shape.of(1));
    CollectiveRequest request =
        CollectiveRequest.allReduce(
            DType.I64,
            new ReduceOp.Max(),
            1,
            true,
            core.topology(),
            LaneSplit.onePerRank(core.topology().ranks()),
            Mode.SAME_BITS);
    this.greatest =
        core.preparation()
            .prepare(request, List.of(tensor), tensor, LinkProbe.timeout(core.options()));
    core.keep(greatest);
    this.eachHasACore = greatest(could(core) ? 0 : 1) == 0;
    this.agrees = eachHasACore;
  }

  private static boolean could(Core core) {
    Members members = core.endpoint().members();
    List<String> hosts = core.job().hosts();
    return members.jobRanks().stream().map(hosts::get).distinct().count() == 1
        && members.size() <= Runtime.getRuntime().availableProcessors();
  }

  private long greatest(long mine) {
    time.segment().set(ValueLayout.JAVA_LONG, 0, mine);
    greatest.run();
    return time.segment().get(ValueLayout.JAVA_LONG, 0);
  }

  /// Waits until every rank may begin.
  ///
  /// @return whether this rank is in time
  boolean await() {
    if (!agrees) {
      barrier.run();
      return true;
    }
    long start = greatest(System.nanoTime() + AHEAD_NANOS);
    long now = System.nanoTime();
    if (start - now > FAR_NANOS) {
      return false;
    }
    while (now < start) {
      Thread.onSpinWait();
      now = System.nanoTime();
    }
    return now - start < LATE_NANOS;
  }

  /// Agrees on nothing any more; all ranks together.
  void giveUp() {
    agrees = false;
  }

  /// Returns whether all ranks are on one host, and each can have a core to itself there; alike on
  /// all.
  boolean eachHasACore() {
    return eachHasACore;
  }

  boolean agrees() {
    return agrees;
  }
}
