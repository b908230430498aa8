package dev.lockstep.bench;

import dev.lockstep.bench.PerfBuffers.Pair;
import dev.lockstep.bench.PerfRow.Spread;
import dev.lockstep.bench.PerfRow.Timing;
import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.EvenCollective;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// One rank's part of a benchmark: for each size, out of place and in place, untimed operations,
/// timed ones, and one that is checked. Every rank computes the same numbers; rank 0 reports them.
final class PerfRank implements AutoCloseable {
  private final Job job;
  private final PerfPlan plan;
  private final EvenCollective collective;
  private final PerfTiming timing;
  private final Communicator communicator;
  private final PreparedCollective barrier;
  private final PerfBuffers buffers;
  private final Buffer times;
  private final CommonStart commonStart;
  private final WarmUp warmUp;
  private final TimelySamples samples;
  private int wrongLeft;

  PerfRank(Job job, PerfPlan plan, Communicator communicator) {
    this.job = job;
    this.plan = plan;
    this.collective = plan.collective();
    this.timing = plan.timing();
    this.communicator = communicator;
    this.barrier =
        communicator.prepare(CollectiveRequest.barrier(communicator.topology()), List.of(), null);
    this.buffers =
        new PerfBuffers(job, new TestPattern(collective, job.worldSize()), plan.sizes().maxBytes());
    this.times =
        HostMemory.allocateShared(
            job.memory(), "perf times", 8L * Math.max(1, timing.iterations()), job.directory());
    this.commonStart = new CommonStart(job, communicator, barrier);
    this.warmUp = new WarmUp(timing.warmups(), this::slowest);
    this.samples = new TimelySamples(this::slowest, commonStart);
    this.wrongLeft = job.rank() == 0 ? timing.wrongElements() : 0;
  }

  /// Measures one size.
  PerfRow measure(long bytes) {
    long count = collective.count(bytes, job.worldSize());
    Timing outOfPlace = measure(count, false);
    Timing inPlace = measure(count, true);
    return new PerfRow(collective, size(count), count, outOfPlace, inPlace);
  }

  private long size(long count) {
    return collective.bytes(count, job.worldSize());
  }

  private Timing measure(long count, boolean inPlace) {
    CollectiveRequest request = collective.request(count, inPlace, communicator.topology());
    Pair pair = buffers.pair(request);
    buffers.fill(pair);
    try (PreparedCollective operation = prepare(request, plan.algorithm(), pair)) {
      double[] single = new double[timing.iterations()];
      long repeated = 0;
      double mean = 0;
      if (timing.dirty()) {
        repeated = dirty(operation, pair, single);
      } else {
        mean = clean(operation, single);
      }
      Arrays.sort(single);
      double nanos = timing.dirty() ? single[single.length / 2] : mean;
      long wrong = timing.checks() ? wrong(operation, pair, count) : -1;
      double factor = NcclTests.busFactor(collective.kind(), job.worldSize());
      return Timing.of(
          size(count),
          nanos,
          factor,
          wrong,
          Spread.of(single, repeated, timing.dirty() ? start() : PerfRow.Start.BARRIER),
          PerfRow.By.of(operation));
    }
  }

  private PreparedCollective prepare(
      CollectiveRequest request, Optional<Algorithm> algorithm, Pair pair) {
    if (algorithm.isEmpty()) {
      return communicator.prepare(request, pair.inputs(), pair.out());
    }
    Optional<String> refusal = algorithm.get().refusal(request);
    if (refusal.isPresent()) {
      throw OptionValues.wrong("--algorithm", algorithm.get().name(), refusal.get());
    }
    return communicator.prepare(request, algorithm.get(), pair.inputs(), pair.out());
  }

  /// Measures every algorithm that can do one size, in place, one after another again and again.
  PerfChoice choice(long bytes) {
    long count = collective.count(bytes, job.worldSize());
    CollectiveRequest request = collective.request(count, true, communicator.topology());
    Pair pair = buffers.pair(request);
    buffers.fill(pair);
    List<PreparedCollective> all = new ArrayList<>();
    try (PreparedCollective chosen = prepare(request, Optional.empty(), pair)) {
      for (Algorithm algorithm : Algorithms.applicable(request)) {
        all.add(prepare(request, Optional.of(algorithm), pair));
      }
      WarmUp.Trial trial = (operation, number) -> dirty(operation, pair, number);
      commonStart.anew();
      warmUp.run(all, trial);
      double[][] times = new double[all.size()][timing.iterations()];
      var _ = samples.time(all, trial, times);
      List<PerfChoice.Measured> measured = new ArrayList<>();
      for (int which = 0; which < all.size(); which++) {
        Arrays.sort(times[which]);
        measured.add(
            new PerfChoice.Measured(
                PerfRow.By.of(all.get(which)), Spread.of(times[which], 0, start()).median()));
      }
      return new PerfChoice(size(count), chosen.schedule().algorithm(), measured, start());
    } finally {
      all.forEach(PreparedCollective::close);
    }
  }

  /// Fills the times of single operations in a loop over unchanged buffers and returns their mean,
  /// averaged over the ranks.
  private double clean(PreparedCollective operation, double[] single) {
    warmUp.run(List.of(operation), this::inStep);
    barrier.run();
    long start = System.nanoTime();
    for (int i = 0; i < timing.iterations(); i++) {
      operation.run();
    }
    double mean = (System.nanoTime() - start) / (double) timing.iterations();
    barrier.run();
    for (int i = 0; i < single.length; i++) {
      single[i] = timed(operation);
    }
    slowest(single);
    return agree(new double[] {mean}, new ReduceOp.Avg())[0];
  }

  /// Fills the times of single operations, each after every rank has written its input, and returns
  /// how many were repeated since a rank began them late.
  private long dirty(PreparedCollective operation, Pair pair, double[] single) {
    WarmUp.Trial trial = (same, number) -> dirty(same, pair, number);
    commonStart.anew();
    warmUp.run(List.of(operation), trial);
    return samples.time(List.of(operation), trial, new double[][] {single});
  }

  private double dirty(PreparedCollective operation, Pair pair, int number) {
    if (pair.in() != null) {
      touch(pair.in().segment(), (byte) number);
    }
    boolean isTimely = commonStart.together();
    double nanos = timed(operation);
    return isTimely ? nanos : TimelySamples.LATE;
  }

  private double inStep(PreparedCollective operation, int number) {
    double nanos = timed(operation);
    barrier.run();
    return nanos;
  }

  /// Returns how the operations began that were timed last.
  private PerfRow.Start start() {
    return commonStart.isCommon() ? PerfRow.Start.COMMON : PerfRow.Start.BARRIER;
  }

  private static double timed(PreparedCollective operation) {
    long start = System.nanoTime();
    operation.run();
    return System.nanoTime() - start;
  }

  private void slowest(double[] single) {
    double[] slowest = agree(single, new ReduceOp.Max());
    System.arraycopy(slowest, 0, single, 0, single.length);
  }

  /// Writes the whole input, as a backward pass does.
  private static void touch(MemorySegment memory, byte with) {
    memory.fill((byte) (with & 0x0F));
  }

  private double[] agree(double[] mine, ReduceOp op) {
    Tensor tensor = new Tensor(times, 0, DType.F64, Shape.of(mine.length));
    MemorySegment.copy(mine, 0, times.segment(), ValueLayout.JAVA_DOUBLE, 0, mine.length);
    communicator.allReduce(tensor, tensor, op);
    return tensor.segment().toArray(ValueLayout.JAVA_DOUBLE);
  }

  private long wrong(PreparedCollective operation, Pair pair, long count) {
    buffers.fillAnew(pair);
    operation.run();
    if (pair.out() != null) {
      MemorySegment result = pair.out().segment();
      for (; wrongLeft > 0 && result.byteSize() > 0; wrongLeft--) {
        long at = result.byteSize() - wrongLeft;
        result.set(ValueLayout.JAVA_BYTE, at, (byte) (result.get(ValueLayout.JAVA_BYTE, at) ^ 1));
      }
    }
    long wrong = buffers.wrong(pair, count);
    return (long) agree(new double[] {wrong}, new ReduceOp.Sum())[0];
  }

  @Override
  public void close() {
    commonStart.close();
    barrier.close();
    times.close();
    buffers.close();
  }
}
