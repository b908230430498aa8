package dev.lockstep.bench.micro;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.SplittableRandom;
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

/// The kernels of a training step beside products, one at a time on one thread of the CPU device,
/// with the arithmetic that [Cost] counts and the bytes of operands and results. Each is held
/// against what this machine does at best in a loop of fused multiply-adds and in a copy, measured
/// by [Peaks] just before: `timesOfFma` and `timesOfCopy` say how many times as long a kernel takes
/// as that loop takes for the same arithmetic, or the copy for the same bytes (less than 1 where
/// caches hold them). The share of the peak is 1 divided by that.
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
public class KernelBenchmark {
  /// The kernel.
  @Param({
    "copy",
    "product",
    "attention",
    "attentionGrad",
    "layerNorm",
    "layerNormGrad",
    "gelu",
    "geluGrad",
    "crossEntropy",
    "crossEntropyGrad",
    "columnSum",
    "adamW",
    "rmsNorm",
    "rmsNormGrad",
    "swiGlu",
    "swiGluGrad",
    "rotary",
    "groupedAttention",
    "groupedAttentionGrad",
    "dropout",
    "toBf16",
    "fromBf16",
    "toE4M3",
    "fromE4M3",
    "toE5M2",
    "fromE5M2",
    "embedding",
    "embeddingGrad",
    "globalNorm",
    "softmax",
    "silu",
    "siluGrad",
    "rowSum",
    "transpose",
    "uniform"
  })
  public String kernel = "";

  /// Sequences, positions, features and heads.
  @Param({"8x256x384x6", "12x64x128x4"})
  public String shape = "";

  private final List<Buffer> buffers = new ArrayList<>();
  private final List<Tensor> results = new ArrayList<>();
  private Device device;
  private Stream stream;
  private Program program;
  private BoundProgram bound;
  private double flops;
  private double bytes;
  private Peaks peaks;

  /// Made by JMH.
  @SuppressWarnings("NullAway.Init") // JMH calls open() first
  public KernelBenchmark() {}

  /// Counts work.
  @State(Scope.Thread)
  @AuxCounters(AuxCounters.Type.OPERATIONS)
  public static class Counters {
    /// Floating-point operations, in thousands of millions. JMH prints the microseconds that one of
    /// those takes: a million divided by them are GFLOP/s.
    public double gigaFlop;

    /// Bytes of operands and results, in thousands of millions; GB/s likewise.
    public double gigaByte;

    /// Microseconds that the loop of fused multiply-adds takes; JMH divides the time by it.
    public double timesOfFma;

    /// Microseconds that the copy takes.
    public double timesOfCopy;

    /// Made by JMH.
    public Counters() {}

    /// Starts an iteration.
    @Setup(org.openjdk.jmh.annotations.Level.Iteration)
    public void reset() {
      gigaFlop = 0;
      gigaByte = 0;
      timesOfFma = 0;
      timesOfCopy = 0;
    }
  }

  /// Compiles the kernel.
  @Setup
  public void open() {
    peaks = Peaks.measure();
    DeviceProvider cpu =
        ServiceLoader.load(DeviceProvider.class).stream()
            .map(ServiceLoader.Provider::get)
            .filter(provider -> provider.name().equals("cpu"))
            .findFirst()
            .orElseThrow();
    device = cpu.open(0, new DeviceOptions(MemoryPool.root("bench", 1L << 30), 1, 0));
    stream = device.newStream();
    Graph graph = KernelGraphs.of(kernel, shape);
    flops = Cost.of(graph).flops();
    bytes = bytes(graph.inputs()) + bytes(graph.outputs());
    program = device.compile(graph);
    Map<String, Tensor> tensors = new HashMap<>();
    graph.inputs().forEach(named -> tensors.put(named.name(), tensor(named)));
    for (Graph.Named named : graph.outputs()) {
      Tensor tensor = tensor(named);
      results.add(tensor);
      tensors.put(named.name(), tensor);
    }
    bound = program.bind(tensors);
  }

  private static long bytes(List<Graph.Named> values) {
    return values.stream().mapToLong(named -> named.value().type().bytes()).sum();
  }

  private Tensor tensor(Graph.Named named) {
    ValueType type = named.value().type();
    Buffer buffer = device.allocate(named.name(), Math.max(4, type.bytes()));
    buffers.add(buffer);
    var random = new SplittableRandom(named.value().id());
    for (long i = 0; i < type.shape().elements(); i++) {
      float number = (float) random.nextDouble(0.1, 1);
      switch (type.dtype()) {
        case I32 -> buffer.segment().setAtIndex(ValueLayout.JAVA_INT, i, random.nextInt(256));
        case F32 -> buffer.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, number);
        default -> setNarrow(buffer, type.dtype(), i, NarrowFloat.encode(type.dtype(), number));
      }
    }
    return Tensor.of(buffer, type.dtype(), type.shape());
  }

  private static void setNarrow(Buffer buffer, DType dtype, long i, int bits) {
    if (dtype.bytes() == 2) {
      buffer.segment().setAtIndex(ValueLayout.JAVA_SHORT, i, (short) bits);
    } else {
      buffer.segment().set(ValueLayout.JAVA_BYTE, i, (byte) bits);
    }
  }

  private static float first(Tensor result) {
    return switch (result.dtype().bytes()) {
      case 1 ->
          NarrowFloat.decode(result.dtype(), result.segment().get(ValueLayout.JAVA_BYTE, 0) & 0xFF);
      case 2 ->
          NarrowFloat.decode(
              result.dtype(), result.segment().get(ValueLayout.JAVA_SHORT, 0) & 0xFFFF);
      default -> result.segment().get(ValueLayout.JAVA_FLOAT, 0);
    };
  }

  /// Runs the kernel once.
  @Benchmark
  public void run(Counters counters) {
    stream.run(bound);
    counters.gigaFlop += flops / 1e9;
    counters.gigaByte += bytes / 1e9;
    counters.timesOfFma += flops / peaks.flopsPerMicrosecond();
    counters.timesOfCopy += bytes / peaks.bytesPerMicrosecond();
  }

  /// Checks the results and closes everything.
  @TearDown
  public void close() {
    for (Tensor result : results) {
      float first = first(result);
      if (!Float.isFinite(first)) {
        throw new IllegalStateException(
            "kernel's result is not finite: kernel=" + kernel + ", found=" + first);
      }
    }
    program.close();
    stream.close();
    buffers.forEach(Buffer::close);
    device.close();
  }
}
