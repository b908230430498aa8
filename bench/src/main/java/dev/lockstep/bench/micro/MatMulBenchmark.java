package dev.lockstep.bench.micro;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Convert;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
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

/// Matrix products of a training step on one thread of the CPU device: forward (`NN`), input
/// gradient (`NT`) and weight gradient (`TN`), one or a batch of them, of float32 or of bfloat16
/// that is widened on the way. Each is held against the loop of fused multiply-adds of [Peaks],
/// measured just before: `timesOfFma` says how many times as long a product takes as that loop
/// takes for the same arithmetic; the share of the peak is 1 divided by that.
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 1,
    jvmArgsAppend = {
      "--add-modules=jdk.incubator.vector",
      "--enable-native-access=ALL-UNNAMED",
      "-Xms512m",
      "-Xmx512m"
    })
public class MatMulBenchmark {
  /// Which operand is transposed, rows, summed extent and columns, and how many products.
  @Param({
    "NN 192x128x512",
    "NT 192x512x128",
    "TN 128x192x512",
    "NN 512x512x512",
    "NT 512x512x512",
    "TN 512x512x512",
    "TT 512x512x512",
    "NN 64x64x64x12",
    "NT 64x64x64x12",
    "TN 64x64x64x12"
  })
  public String shape = "";

  /// Type of the operands; the product is float32.
  @Param({"F32", "BF16"})
  public DType dtype = DType.F32;

  /// Blocks of the sum.
  @Param({"1", "4"})
  public int blocks;

  private final List<Buffer> buffers = new ArrayList<>();
  private Device device;
  private Stream stream;
  private Program program;
  private BoundProgram bound;
  private Tensor result;
  private double flops;
  private Peaks peaks;

  /// Made by JMH.
  @SuppressWarnings("NullAway.Init") // JMH calls open() first
  public MatMulBenchmark() {}

  /// Counts floating-point operations.
  @State(Scope.Thread)
  @AuxCounters(AuxCounters.Type.OPERATIONS)
  public static class Counters {
    /// Floating-point operations, in thousands of millions. JMH prints the microseconds that one of
    /// those takes: a million divided by them are GFLOP/s.
    public double gigaFlop;

    /// Microseconds that the loop of fused multiply-adds takes; JMH divides the time by it.
    public double timesOfFma;

    /// Made by JMH.
    public Counters() {}

    /// Starts an iteration.
    @Setup(org.openjdk.jmh.annotations.Level.Iteration)
    public void reset() {
      gigaFlop = 0;
      timesOfFma = 0;
    }
  }

  /// Compiles the product.
  @Setup
  public void open() {
    peaks = Peaks.measure();
    long[] sizes = sizes();
    long m = sizes[0];
    long k = sizes[1];
    long n = sizes[2];
    long count = sizes.length == 3 ? 1 : sizes[3];
    flops = 2.0 * m * k * n * count;
    boolean transposeA = shape.charAt(0) == 'T';
    boolean transposeB = shape.charAt(1) == 'T';
    GraphBuilder builder = new GraphBuilder("product");
    Shape left = transposeA ? Shape.of(count, k, m) : Shape.of(count, m, k);
    Shape right = transposeB ? Shape.of(count, n, k) : Shape.of(count, k, n);
    ValueType leftType = new ValueType(dtype, count == 1 ? alone(left) : left);
    ValueType rightType = new ValueType(dtype, count == 1 ? alone(right) : right);
    Value a = wide(builder, builder.input("a", leftType));
    Value b = wide(builder, builder.input("b", rightType));
    Value c = builder.one(new MatMul(transposeA, transposeB, new Blocks(1, blocks)), a, b);
    builder.output("c", c);
    DeviceProvider cpu =
        ServiceLoader.load(DeviceProvider.class).stream()
            .map(ServiceLoader.Provider::get)
            .filter(provider -> provider.name().equals("cpu"))
            .findFirst()
            .orElseThrow();
    device = cpu.open(0, new DeviceOptions(MemoryPool.root("bench", 1L << 30), 1, 0));
    stream = device.newStream();
    program = device.compile(builder.build());
    result = tensor("c", c.type());
    bound =
        program.bind(Map.of("a", tensor("a", leftType), "b", tensor("b", rightType), "c", result));
  }

  private long[] sizes() {
    return Arrays.stream(shape.substring(3).split("x", -1)).mapToLong(Long::parseLong).toArray();
  }

  private static Shape alone(Shape batch) {
    return Shape.of(batch.dim(1), batch.dim(2));
  }

  private static Value wide(GraphBuilder builder, Value x) {
    return x.type().dtype() == DType.F32 ? x : builder.one(new Convert(DType.F32), x);
  }

  private Tensor tensor(String name, ValueType type) {
    Buffer buffer = device.allocate(name, type.bytes());
    buffers.add(buffer);
    for (long i = 0; i < type.shape().elements(); i++) {
      if (type.dtype() == DType.BF16) {
        buffer.segment().setAtIndex(ValueLayout.JAVA_SHORT, i, NarrowFloat.toBf16(1));
      } else {
        buffer.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, 1);
      }
    }
    return Tensor.of(buffer, type.dtype(), type.shape());
  }

  /// Runs the product once.
  @Benchmark
  public void product(Counters counters) {
    stream.run(bound);
    counters.gigaFlop += flops / 1e9;
    counters.timesOfFma += flops / peaks.flopsPerMicrosecond();
  }

  /// Checks the result and closes everything.
  @TearDown
  public void close() {
    float first = result.segment().get(ValueLayout.JAVA_FLOAT, 0);
    float expected = sizes()[1];
    if (first != expected) {
      throw new IllegalStateException("wrong product: expected=" + expected + ", found=" + first);
    }
    program.close();
    stream.close();
    buffers.forEach(Buffer::close);
    device.close();
  }
}
