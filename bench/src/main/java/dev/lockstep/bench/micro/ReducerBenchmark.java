package dev.lockstep.bench.micro;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.Reducer;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.TimeUnit;
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

/// Joining two contributions: what every all-reduce does for each element.
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

  /// Made by JMH.
  @SuppressWarnings("NullAway.Init") // JMH calls open() first
  public ReducerBenchmark() {}

  /// Allocates the operands.
  @Setup
  @SuppressWarnings("MustBeClosed") // closed by close()
  public void open() {
    arena = Arena.ofConfined();
    a = arena.allocate(bytes, 64);
    b = arena.allocate(bytes, 64);
    joined = arena.allocate(bytes, 64);
  }

  /// Joins once.
  @Benchmark
  public void join() {
    Reducer.join(SUM, dtype, joined, 0, a, 0, b, 0, bytes / dtype.bytes());
  }

  /// Frees the operands.
  @TearDown
  public void close() {
    arena.close();
  }
}
