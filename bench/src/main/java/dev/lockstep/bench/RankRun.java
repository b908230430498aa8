package dev.lockstep.bench;

import dev.lockstep.bench.PerfRow.Timing;
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
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;

/// One rank's part of a benchmark: for each size, out of place and in place, untimed operations,
/// timed ones, and one that is checked. Every rank computes the same numbers; rank 0 reports them.
final class RankRun implements AutoCloseable {
  private final Job job;
  private final PerfPlan plan;
  private final Communicator communicator;
  private final TestPattern pattern;
  private final Buffer input;
  private final Buffer output;
  private final Buffer expected;
  private final Buffer times;
  private int wrongLeft;

  RankRun(Job job, PerfPlan plan, Communicator communicator) {
    this.job = job;
    this.plan = plan;
    this.communicator = communicator;
    this.pattern = new TestPattern(plan, job.worldSize());
    this.input = shared("perf input", plan.maxBytes());
    this.output = shared("perf output", plan.maxBytes());
    this.expected = HostMemory.allocate(job.memory(), "perf expected", plan.maxBytes());
    this.times = shared("perf times", 8L * plan.iterations());
    this.wrongLeft = job.rank() == 0 ? plan.wrongElements() : 0;
  }

  private Buffer shared(String name, long bytes) {
    return HostMemory.allocateShared(job.memory(), name, bytes, job.directory());
  }

  /// Measures one size.
  PerfRow measure(long bytes) {
    long elements = bytes / plan.dtype().bytes();
    Tensor in = new Tensor(input, 0, plan.dtype(), Shape.of(elements));
    Tensor out = new Tensor(output, 0, plan.dtype(), Shape.of(elements));
    Timing outOfPlace = measure(in, out);
    Timing inPlace = measure(in, in);
    return new PerfRow(bytes, elements, outOfPlace, inPlace);
  }

  private Timing measure(Tensor in, Tensor out) {
    pattern.fill(job.rank(), in.segment(), in.shape().elements());
    try (PreparedCollective operation = prepare(in, out)) {
      for (int i = 0; i < plan.warmups(); i++) {
        operation.run();
      }
      double nanos = plan.dirty() ? dirtyNanos(operation, in) : cleanNanos(operation);
      long wrong = plan.checks() ? wrong(operation, in, out) : -1;
      return Timing.of(in.bytes(), nanos, plan.collective().busFactor(job.worldSize()), wrong);
    }
  }

  private PreparedCollective prepare(Tensor in, Tensor out) {
    boolean inPlace = in.equals(out);
    long elements = in.shape().elements();
    return switch (plan.collective()) {
      case ALL_REDUCE ->
          communicator.prepare(
              CollectiveRequest.allReduce(
                  plan.dtype(),
                  plan.op(),
                  elements,
                  inPlace,
                  communicator.topology(),
                  LaneSplit.onePerRank(job.worldSize()),
                  Mode.SAME_BITS),
              List.of(in),
              out);
      case BROADCAST ->
          communicator.prepare(
              CollectiveRequest.broadcast(
                  plan.dtype(), elements, plan.root(), communicator.topology()),
              job.rank() == plan.root() ? List.of(in) : List.of(),
              job.rank() == plan.root() ? in : out);
    };
  }

  /// Mean time of an operation in a loop over unchanged buffers, averaged over the ranks.
  private double cleanNanos(PreparedCollective operation) {
    communicator.barrier();
    long start = System.nanoTime();
    for (int i = 0; i < plan.iterations(); i++) {
      operation.run();
    }
    double mean = (System.nanoTime() - start) / (double) plan.iterations();
    return agree(new double[] {mean}, new ReduceOp.Avg())[0];
  }

  /// Median over the iterations of the slowest rank's time, each after every rank has written its
  /// input.
  private double dirtyNanos(PreparedCollective operation, Tensor in) {
    double[] nanos = new double[plan.iterations()];
    for (int i = 0; i < nanos.length; i++) {
      touch(in.segment(), (byte) i);
      communicator.barrier();
      long start = System.nanoTime();
      operation.run();
      nanos[i] = System.nanoTime() - start;
    }
    double[] slowest = agree(nanos, new ReduceOp.Max());
    Arrays.sort(slowest);
    return slowest[slowest.length / 2];
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

  private long wrong(PreparedCollective operation, Tensor in, Tensor out) {
    long elements = in.shape().elements();
    if (!in.equals(out)) {
      out.segment().fill((byte) 0x5A);
    }
    pattern.fill(job.rank(), in.segment(), elements);
    operation.run();
    boolean rootOfBroadcast = !plan.collective().reduces() && job.rank() == plan.root();
    MemorySegment result = (rootOfBroadcast ? in : out).segment();
    for (; wrongLeft > 0 && elements > 0; wrongLeft--) {
      long at = result.byteSize() - wrongLeft;
      result.set(ValueLayout.JAVA_BYTE, at, (byte) (result.get(ValueLayout.JAVA_BYTE, at) ^ 1));
    }
    long wrong = pattern.wrong(result, expected.segment(), elements);
    return (long) agree(new double[] {wrong}, new ReduceOp.Sum())[0];
  }

  @Override
  public void close() {
    times.close();
    expected.close();
    output.close();
    input.close();
  }
}
