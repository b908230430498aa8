package dev.lockstep.bench.micro;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Cost;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
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
/// with the arithmetic and the bytes that [Cost] counts. Each is held against what this machine
/// does at best in a loop of fused multiply-adds and in a copy, measured by [Peaks] just before:
/// `timesOfFma` and `timesOfCopy` say how many times as long a kernel takes as that loop takes for
/// the same arithmetic, or the copy for the same bytes (less than 1 where caches hold them). The
/// share of the peak is 1 divided by that.
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
    "fromBf16"
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
  private Cost cost;
  private Peaks peaks;

  /// Made by JMH.
  @SuppressWarnings("NullAway.Init") // JMH calls open() first
  public KernelBenchmark() {}

  /// Counts work.
  @State(Scope.Thread)
  @AuxCounters(AuxCounters.Type.OPERATIONS)
  public static class Counters {
    /// Floating-point operations, in thousands of millions.
    public double gigaFlop;

    /// Bytes of operands and results, in thousands of millions.
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

  /// An op and what it works on.
  private record Call(Op op, List<ValueType> operands) {
    static Call of(Op op, ValueType... operands) {
      return new Call(op, List.of(operands));
    }
  }

  private static Call call(String kernel, long b, long t, long c, int heads) {
    ValueType x = ValueType.f32(b, t, c);
    ValueType row = ValueType.f32(b, t);
    ValueType feature = ValueType.f32(c);
    ValueType logits = ValueType.f32(b, t, 256);
    ValueType targets = ValueType.i32(b, t);
    ValueType lse = ValueType.f32(b, heads, t);
    ValueType qkv = ValueType.f32(b, t, 3 * c);
    ValueType one = ValueType.f32();
    ValueType weights = ValueType.f32(c, 4 * c);
    Blocks tokens = new Blocks(b, 1);
    return switch (kernel) {
      case "copy" -> Call.of(new Primitive.Concat(0), x, x);
      case "product" -> Call.of(new Primitive.MatMul(false, false, Blocks.WHOLE), x, weights);
      case "attention" -> Call.of(new Composite.CausalAttention(heads), qkv);
      case "attentionGrad" ->
          Call.of(new Composite.CausalAttentionGrad(heads, Blocks.WHOLE), x, qkv, x, lse);
      case "layerNorm" -> Call.of(new Composite.LayerNorm(1e-5f), x, feature, feature);
      case "layerNormGrad" -> Call.of(new Composite.LayerNormGrad(tokens), x, x, feature, row, row);
      case "gelu" -> Call.of(new Composite.Gelu(), x);
      case "geluGrad" -> Call.of(new Composite.GeluGrad(), x, x);
      case "crossEntropy" ->
          Call.of(new Composite.CrossEntropy(tokens, new Blocks(1, 4)), logits, targets);
      case "crossEntropyGrad" ->
          Call.of(new Composite.CrossEntropyGrad(), one, logits, targets, row);
      case "columnSum" -> Call.of(new Primitive.ReduceSum(List.of(0, 1), tokens), x);
      case "adamW" ->
          Call.of(
              new Composite.AdamW(0.9f, 0.99f, 1e-8f, 0.1f),
              weights,
              weights,
              weights,
              weights,
              one,
              one,
              one);
      default -> newer(kernel, x, heads);
    };
  }

  private static Call newer(String kernel, ValueType x, int heads) {
    Shape shape = x.shape();
    ValueType row = ValueType.f32(shape.dim(0), shape.dim(1));
    ValueType feature = ValueType.f32(shape.dim(2));
    ValueType lse = ValueType.f32(shape.dim(0), heads, shape.dim(1));
    int groups = heads / 2;
    ValueType keys = ValueType.f32(shape.dim(0), shape.dim(1), shape.dim(2) / 2);
    ValueType narrow = new ValueType(DType.BF16, shape);
    ValueType count = ValueType.i32();
    return switch (kernel) {
      case "rmsNorm" -> Call.of(new Composite.RmsNorm(1e-5f), x, feature);
      case "rmsNormGrad" ->
          Call.of(new Composite.RmsNormGrad(new Blocks(shape.dim(0), 1)), x, x, feature, row);
      case "swiGlu" -> Call.of(new Composite.SwiGlu(), x, x);
      case "swiGluGrad" -> Call.of(new Composite.SwiGluGrad(), x, x, x);
      case "rotary" ->
          Call.of(new Composite.Rotary((int) shape.dim(2) / heads, 10_000, 0, false), x);
      case "groupedAttention" ->
          Call.of(new Composite.GroupedAttention(heads, groups, 0), x, keys, keys);
      case "groupedAttentionGrad" ->
          Call.of(
              new Composite.GroupedAttentionGrad(heads, groups, 0, Blocks.WHOLE),
              x,
              x,
              keys,
              keys,
              x,
              lse);
      case "dropout" ->
          Call.of(
              new Composite.Dropout(0.1f, new Primitive.Uniform(Primitive.Part.all(shape), 1, 1)),
              x,
              count,
              count);
      case "toBf16" -> Call.of(new Primitive.Convert(DType.BF16), x);
      case "fromBf16" -> Call.of(new Primitive.Convert(DType.F32), narrow);
      default -> throw new IllegalArgumentException("no such kernel: kernel=" + kernel);
    };
  }

  /// Compiles the kernel.
  @Setup
  public void open() {
    peaks = Peaks.measure();
    String[] sizes = shape.split("x", -1);
    Call call =
        call(
            kernel,
            Long.parseLong(sizes[0]),
            Long.parseLong(sizes[1]),
            Long.parseLong(sizes[2]),
            Integer.parseInt(sizes[3]));
    DeviceProvider cpu =
        ServiceLoader.load(DeviceProvider.class).stream()
            .map(ServiceLoader.Provider::get)
            .filter(provider -> provider.name().equals("cpu"))
            .findFirst()
            .orElseThrow();
    device = cpu.open(0, new DeviceOptions(MemoryPool.root("bench", 1L << 30), 1, 0));
    stream = device.newStream();
    GraphBuilder builder = new GraphBuilder(kernel);
    List<Value> operands = new ArrayList<>();
    for (ValueType type : call.operands()) {
      operands.add(builder.input("in" + operands.size(), type));
    }
    for (Value result : builder.apply(call.op(), operands)) {
      builder.output("out" + result.id(), result);
    }
    Graph graph = builder.build();
    cost = Cost.of(graph);
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

  private Tensor tensor(Graph.Named named) {
    ValueType type = named.value().type();
    Buffer buffer = device.allocate(named.name(), Math.max(4, type.bytes()));
    buffers.add(buffer);
    var random = new SplittableRandom(named.value().id());
    for (long i = 0; i < type.shape().elements(); i++) {
      if (type.dtype() == DType.I32) {
        buffer.segment().setAtIndex(ValueLayout.JAVA_INT, i, random.nextInt(256));
      } else if (type.dtype() == DType.BF16) {
        short bits = NarrowFloat.toBf16((float) random.nextDouble(0.1, 1));
        buffer.segment().setAtIndex(ValueLayout.JAVA_SHORT, i, bits);
      } else {
        buffer.segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextDouble(0.1, 1));
      }
    }
    return Tensor.of(buffer, type.dtype(), type.shape());
  }

  /// Runs the kernel once.
  @Benchmark
  public void run(Counters counters) {
    stream.run(bound);
    counters.gigaFlop += cost.flops() / 1e9;
    counters.gigaByte += cost.bytes() / 1e9;
    counters.timesOfFma += cost.flops() / peaks.flopsPerMicrosecond();
    counters.timesOfCopy += cost.bytes() / peaks.bytesPerMicrosecond();
  }

  /// Checks the results and closes everything.
  @TearDown
  public void close() {
    for (Tensor result : results) {
      float first = result.segment().get(ValueLayout.JAVA_FLOAT, 0);
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
