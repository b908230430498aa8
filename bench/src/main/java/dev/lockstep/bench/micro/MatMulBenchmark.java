package dev.lockstep.bench.micro;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
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

/// Matrix products of a training step on the CPU device: forward (`NN`), input gradient (`NT`) and
/// weight gradient (`TN`).
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
  /// Rows, summed extent and columns, and which operand is transposed.
  @Param({"NN 192x128x512", "NT 192x512x128", "TN 128x192x512", "NN 512x512x512"})
  public String shape = "";

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

  /// Made by JMH.
  @SuppressWarnings("NullAway.Init") // JMH calls open() first
  public MatMulBenchmark() {}

  /// Counts floating-point operations.
  @State(Scope.Thread)
  @AuxCounters(AuxCounters.Type.OPERATIONS)
  public static class Counters {
    /// Floating-point operations, in thousands of millions.
    public double gigaFlop;

    /// Made by JMH.
    public Counters() {}

    /// Starts an iteration.
    @Setup(org.openjdk.jmh.annotations.Level.Iteration)
    public void reset() {
      gigaFlop = 0;
    }
  }

  /// Compiles the product.
  @Setup
  public void open() {
    String[] sizes = shape.substring(3).split("x", -1);
    long m = Long.parseLong(sizes[0]);
    long k = Long.parseLong(sizes[1]);
    long n = Long.parseLong(sizes[2]);
    flops = 2.0 * m * k * n;
    boolean transposeA = shape.charAt(0) == 'T';
    boolean transposeB = shape.charAt(1) == 'T';
    GraphBuilder builder = new GraphBuilder("product");
    ValueType left = transposeA ? ValueType.f32(k, m) : ValueType.f32(m, k);
    ValueType right = transposeB ? ValueType.f32(n, k) : ValueType.f32(k, n);
    Value a = builder.input("a", left);
    Value b = builder.input("b", right);
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
    bound = program.bind(Map.of("a", tensor("a", left), "b", tensor("b", right), "c", result));
  }

  private Tensor tensor(String name, ValueType type) {
    Buffer buffer = device.allocate(name, type.bytes());
    buffers.add(buffer);
    for (long i = 0; i < type.shape().elements(); i++) {
      buffer.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, 1);
    }
    return Tensor.of(buffer, type.dtype(), type.shape());
  }

  /// Runs the product once.
  @Benchmark
  public void product(Counters counters) {
    stream.run(bound);
    counters.gigaFlop += flops / 1e9;
  }

  /// Checks the result and closes everything.
  @TearDown
  public void close() {
    float first = result.segment().get(ValueLayout.JAVA_FLOAT, 0);
    float expected = Float.parseFloat(shape.substring(3).split("x", -1)[1]);
    if (first != expected) {
      throw new IllegalStateException("wrong product: expected=" + expected + ", found=" + first);
    }
    program.close();
    stream.close();
    buffers.forEach(Buffer::close);
    device.close();
  }
}
