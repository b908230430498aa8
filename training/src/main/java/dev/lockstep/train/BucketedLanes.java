package dev.lockstep.train;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.BucketPlan;
import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatRange;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.SplitProgram;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;

/// Lanes of which the last one's gradients complete the rank's sums: bucket by bucket they are
/// joined with those of the lanes before it and reduced over the data axis while it goes on.
final class BucketedLanes implements SummedLanes {
  private final Exchange exchange;
  private final LaneSums before;
  private final SplitProgram.Bound program;
  private final int lane;
  private final int[] ends;
  private final BoundProgram[][] joins;
  private final Exchange.Prepared[] reductions;
  private final FlatTensors sums;
  private final List<Program> joinPrograms;

  /// Binds the last lane and prepares the reductions; every rank of the axis does so with the same
  /// buckets.
  ///
  /// @param split which lanes each rank of the axis holds
  /// @param before the sums of all but the last; borrowed
  /// @param program the lane program, cut as the buckets say
  /// @param inputs where the program's inputs live; borrowed
  BucketedLanes(
      RankCompute compute,
      LaneSplit split,
      LaneSums before,
      SplitProgram program,
      Map<String, Tensor> inputs,
      BucketPlan buckets) {
    exchange = compute.exchange();
    this.before = before;
    LanePlan plan = LanePlan.of(split.ranks().get(compute.rank()));
    int last = lastRun(plan);
    LanePlan.Action.Run run = (LanePlan.Action.Run) plan.actions().get(last);
    lane = run.lane();
    Map<String, Tensor> bound = new HashMap<>(inputs);
    bound.putAll(before.slot(run.slot()).byName());
    this.program = program.bind(bound);
    sums = compute.allocateShared("gradient sums", buckets.layout());
    List<FlatRange> ranges = FlatRange.cut(buckets.layout(), buckets.firsts());
    // Gradients come first in a slot, in the same order; with the last the losses are joined too.
    List<FlatRange> joinedRanges = FlatRange.cut(before.slot(0).layout(), buckets.firsts());
    int count = buckets.buckets().size();
    ends = new int[count];
    joins = new BoundProgram[count][];
    reductions = new Exchange.Prepared[count];
    Primitive.AllReduce reduce = new Primitive.AllReduce(Layout.DATA, new ReduceOp.Sum(), split);
    Map<Long, Program> programs = new LinkedHashMap<>();
    for (int i = 0; i < count; i++) {
      ends[i] = i == count - 1 ? Integer.MAX_VALUE : buckets.buckets().get(i).end();
      FlatRange range = ranges.get(i);
      FlatRange joined = joinedRanges.get(i);
      List<BoundProgram> bucketJoins = new ArrayList<>();
      for (LanePlan.Action action : plan.actions().subList(last + 1, plan.actions().size())) {
        if (action instanceof LanePlan.Action.Join(int into, int from)) {
          Program join = programs.computeIfAbsent(joined.elements(), n -> compile(compute, n));
          bucketJoins.add(
              join.bind(
                  LaneSums.joined(joined.of(before.slot(into)), joined.of(before.slot(from)))));
        }
      }
      joins[i] = bucketJoins.toArray(BoundProgram[]::new);
      List<Tensor> held = new ArrayList<>();
      for (int subtree = 0; subtree < plan.held().size(); subtree++) {
        held.add(range.of(before.slot(subtree)));
      }
      reductions[i] =
          compute
              .scope()
              .own(exchange.prepare(reduce, held, range.of(sums)), Exchange.Prepared::close);
    }
    joinPrograms = List.copyOf(programs.values());
  }

  @Override
  public List<Program> lanePrograms() {
    return before.lanePrograms();
  }

  @Override
  public List<Program> joinPrograms() {
    List<Program> all = new ArrayList<>(before.joinPrograms());
    all.addAll(joinPrograms);
    return all;
  }

  /// Returns the lanes before the last one.
  static LanePlan before(LanePlan plan) {
    return new LanePlan(plan.actions().subList(0, lastRun(plan)), plan.slots(), plan.held());
  }

  private static int lastRun(LanePlan plan) {
    int last = plan.actions().size() - 1;
    while (!(plan.actions().get(last) instanceof LanePlan.Action.Run)) {
      last--;
    }
    return last;
  }

  /// Returns the sizes of what is joined when buckets are complete, each once.
  ///
  /// @param slot how the sums of a lane lie
  static List<Long> joinSizes(BucketPlan plan, FlatLayout slot) {
    return FlatRange.cut(slot, plan.firsts()).stream().map(FlatRange::elements).distinct().toList();
  }

  private static Program compile(RankCompute compute, long elements) {
    return compute.scope().own(compute.device().compile(LaneSums.join(elements)), Program::close);
  }

  @Override
  public Map<String, Tensor> results() {
    Map<String, Tensor> results = before.subtreeInputs();
    results.putAll(sums.byName());
    return results;
  }

  @Override
  public Tensor stop() {
    return before.slot(0).get(StepGraph.STOP);
  }

  @Override
  public void run(Stream stream, IntConsumer fill) {
    before.run(stream, fill);
    fill.accept(lane);
    int part = 0;
    for (int i = 0; i < ends.length; i++) {
      program.run(stream, part, ends[i]);
      part = ends[i];
      for (BoundProgram join : joins[i]) {
        stream.run(join);
      }
      exchange.settle(stream);
      reductions[i].start();
    }
  }

  @Override
  public void await() {
    for (Exchange.Prepared reduction : reductions) {
      reduction.await();
    }
  }
}
