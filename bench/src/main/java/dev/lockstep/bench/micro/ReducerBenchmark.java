package dev.lockstep.bench.micro;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.Reducer;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/// Joining two contributions: what every all-reduce does for each element. Held against the copy of
/// [Peaks], measured just before: `timesOfCopy` says how many times as long a join takes as that
/// copy takes for the same bytes, read and written (less than 1 where caches hold them); the share
/// of the peak is 1 divided by that.
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 1,
    jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "-Xms512m", "-Xmx512m"})
public class ReducerBenchmark {
  private static final ReduceOp SUM = new ReduceOp.Sum();

  /// Size of each operand.
  @Param({"4096", "262144", "16777216"})
  public long bytes;

  /// Element type.
  @Param({"F32", "BF16"})
  public DType dtype = DType.F32;

  private Arena arena;
  private MemorySegment a;
  private MemorySegment b;
  private MemorySegment joined;
  private Peaks peaks;

  /// Made by JMH.
  @SuppressWarnings("NullAway.Init") // JMH calls open() first
  public ReducerBenchmark() {}

  /// Counts bytes.
  @State(Scope.Thread)
  @AuxCounters(AuxCounters.Type.OPERATIONS)
  public static class Counters {
    /// Bytes read and written, in thousands of millions. JMH prints the microseconds that one of
    /// those takes: a million divided by them are GB/s.
    public double gigaByte;

    /// Microseconds that the copy takes; JMH divides the time by it.
    public double timesOfCopy;

    /// Made by JMH.
    public Counters() {}

    /// Starts an iteration.
    @Setup(org.openjdk.jmh.annotations.Level.Iteration)
    public void reset() {
      gigaByte = 0;
      timesOfCopy = 0;
    }
  }

  /// Allocates the operands.
  @Setup
  @SuppressWarnings("MustBeClosed") // closed by close()
  public void open() {
    peaks = Peaks.measure();
    arena = Arena.ofConfined();
    a = arena.allocate(bytes, 64);
    b = arena.allocate(bytes, 64);
    joined = arena.allocate(bytes, 64);
  }

  /// Joins once.
  @Benchmark
  public void join(Counters counters) {
    Reducer.join(SUM, dtype, joined, 0, a, 0, b, 0, bytes / dtype.bytes());
    counters.gigaByte += 3 * bytes / 1e9;
    counters.timesOfCopy += 3 * bytes / peaks.bytesPerMicrosecond();
  }

  /// Frees the operands.
  @TearDown
  public void close() {
    arena.close();
  }
}
