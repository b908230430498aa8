package dev.lockstep.bench;

import dev.lockstep.bench.PerfBuffers.Pair;
import dev.lockstep.bench.PerfRow.Spread;
import dev.lockstep.bench.PerfRow.Timing;
import dev.lockstep.bench.step.Median;
import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.EvenCollective;
import dev.lockstep.collective.request.Topology;
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
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/// One rank's part of a benchmark: for each size, out of place and in place, untimed operations,
/// timed ones, and one that is checked. Every rank computes the same numbers; rank 0 reports them.
final class PerfRank implements AutoCloseable {
  /// A loop over few short operations takes microseconds, less than a compiler or another process
  /// takes a core for: so many loops are timed, and the median of their averages counts.
  private static final int LOOPS = 9;

  /// Longer loops are timed less often: together they take about as long at most, or one loop.
  private static final double LOOPS_NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  /// Loops that take so many times as long as the warm-up's fastest operations were disturbed, as
  /// by a compiler on a rank's core: they are timed again after a rest, so often.
  private static final double SLOW = 2;

  private static final int RESTS = 5;

  private static final long REST_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

  /// Where compilers of many ranks share few cores, a rest is longer after each disturbed round.
  private static final int MOST_LONGER = 5;

  /// Operations in a row, at most, in a warm-up for loops: a rank that is one ahead takes other
  /// branches, and code that was compiled without them is given up when they are taken.
  private static final int ROW = 20;

  /// Ranks meet after as many numbers that one joined to check results, a second's work or two: a
  /// root that checks alone would keep the others waiting beyond their deadline.
  private static final long JOINED_IN_SLICE = 1 << 28;

  /// Of more bytes it is no matter of code how long an operation takes.
  private static final long SHORT_BYTES = 64 << 10;

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
            job.memory(), "perf times", 8L * Math.max(LOOPS, timing.iterations()), job.directory());
    this.commonStart = new CommonStart(job, communicator, barrier);
    this.warmUp = new WarmUp(timing.warmups(), this::slowest);
    this.samples = new TimelySamples(this::slowest, commonStart);
    this.wrongLeft = job.rank() == 0 ? timing.wrongElements() : 0;
  }

  /// Measures one size.
  PerfRow measure(long bytes) {
    long count = collective.count(bytes, job.worldSize());
    Topology topology = communicator.topology();
    if (plan.algorithm().isPresent()) {
      Algorithm named = plan.algorithm().get();
      refusal(named, collective, count, topology)
          .ifPresent(
              reason -> {
                throw OptionValues.wrong("--algorithm", named.name(), reason);
              });
    }
    Timing outOfPlace = measure(count, false);
    Timing inPlace = measure(count, true);
    return new PerfRow(collective, size(count), count, outOfPlace, inPlace);
  }

  /// Returns why an algorithm can do a size neither out of place nor in place.
  static Optional<String> refusal(
      Algorithm algorithm, EvenCollective collective, long count, Topology topology) {
    Optional<String> apart = algorithm.refusal(collective.request(count, false, topology));
    return apart.isPresent()
            && algorithm.refusal(collective.request(count, true, topology)).isEmpty()
        ? Optional.empty()
        : apart;
  }

  private long size(long count) {
    return collective.bytes(count, job.worldSize());
  }

  /// Returns null where the algorithm that was named has no such form.
  private @Nullable Timing measure(long count, boolean inPlace) {
    CollectiveRequest request = collective.request(count, inPlace, communicator.topology());
    if (plan.algorithm().flatMap(named -> named.refusal(request)).isPresent()) {
      return null;
    }
    Pair pair = buffers.pair(request);
    buffers.fill(pair);
    try (PreparedCollective operation = prepare(request, plan.algorithm(), pair)) {
      double[] single = new double[timing.iterations()];
      long repeated = 0;
      double mean = 0;
      if (timing.dirty()) {
        repeated = dirty(operation, pair, single);
      } else {
        mean = clean(operation, count, single);
      }
      Arrays.sort(single);
      double nanos = timing.dirty() ? Median.of(single) : mean;
      long wrong = timing.checks() ? wrong(operation, pair, count) : -1;
      double factor = NcclTests.busFactor(collective.kind(), job.worldSize());
      return Timing.of(
          size(count),
          nanos,
          factor,
          wrong,
          Spread.of(single, repeated, timing.dirty() ? start() : PerfRow.Start.IN_A_ROW),
          PerfRow.By.of(operation));
    }
  }

  private PreparedCollective prepare(
      CollectiveRequest request, Optional<Algorithm> algorithm, Pair pair) {
    if (algorithm.isEmpty()) {
      return communicator.prepare(request, pair.inputs(), pair.out());
    }
    return communicator.prepare(request, algorithm.get(), pair.inputs(), pair.out());
  }

  /// Measures every algorithm that can do one size, in place, in rounds.
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
      CalmRounds rounds =
          new CalmRounds(
              () -> medians(all, trial),
              this::start,
              disturbed -> LockSupport.parkNanos(Math.min(disturbed, MOST_LONGER) * REST_NANOS));
      double[] times = rounds.time();
      List<PerfChoice.Measured> measured = new ArrayList<>();
      for (int which = 0; which < all.size(); which++) {
        measured.add(new PerfChoice.Measured(PerfRow.By.of(all.get(which)), times[which] / 1000));
      }
      return new PerfChoice(
          size(count),
          chosen.schedule().algorithm(),
          measured,
          new PerfChoice.How(start(), rounds.timed()));
    } finally {
      all.forEach(PreparedCollective::close);
    }
  }

  /// Times operations, one after another again and again, and returns the median of each.
  private double[] medians(List<PreparedCollective> all, WarmUp.Trial trial) {
    double[][] times = new double[all.size()][timing.iterations()];
    var _ = samples.time(all, trial, times);
    return Arrays.stream(times).mapToDouble(Median::of).toArray();
  }

  /// Fills the times of single operations and returns that of one in a loop over unchanged buffers,
  /// averaged over the loop and the ranks: the median of several loops.
  private double clean(PreparedCollective operation, long count, double[] single) {
    int row = Math.min(timing.iterations(), size(count) <= SHORT_BYTES ? ROW : 2);
    row = Math.max(1, Math.min(row, timing.warmups().orElse(ROW)));
    double fastest = warmUp.run(List.of(operation), row, inARow(row));
    double median = loops(operation);
    for (int i = 0; i < RESTS && median > SLOW * fastest; i++) {
      LockSupport.parkNanos(REST_NANOS);
      median = loops(operation);
    }
    barrier.run();
    for (int i = 0; i < single.length; i++) {
      single[i] = timed(operation, 1);
    }
    slowest(single);
    return median;
  }

  /// Returns the time of one operation, the median of several loops; the same on every rank.
  private double loops(PreparedCollective operation) {
    double first = agree(new double[] {loop(operation)}, new ReduceOp.Avg())[0];
    int most = (int) Math.clamp(LOOPS_NANOS / (first * timing.iterations()), 1, LOOPS);
    double[] means = new double[most];
    means[0] = first;
    for (int i = 1; i < means.length; i++) {
      means[i] = loop(operation);
    }
    return Median.of(agree(means, new ReduceOp.Avg()));
  }

  /// Returns this rank's time of one operation in a loop that all ranks begin at a barrier.
  private double loop(PreparedCollective operation) {
    barrier.run();
    return timed(operation, timing.iterations()) / timing.iterations();
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

  private WarmUp.Trial inARow(int times) {
    return (operation, _) -> {
      double nanos = timed(operation, times) / times;
      barrier.run();
      return nanos;
    };
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

  private static double timed(PreparedCollective operation, int times) {
    long start = System.nanoTime();
    for (int i = 0; i < times; i++) {
      operation.run();
    }
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
    long wrong = 0;
    long slice = Math.max(1, JOINED_IN_SLICE / job.worldSize());
    long most = size(count) / collective.dtype().bytes();
    for (long from = 0; from < most; from += slice) {
      wrong += buffers.wrong(pair, count, from, slice);
      barrier.run();
    }
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
