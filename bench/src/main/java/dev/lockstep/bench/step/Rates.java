package dev.lockstep.bench.step;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.PlannedStep;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.StepPlan;
import dev.lockstep.train.TrainerOptions;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;

/// How fast a device is on this machine, measured with its own kernels.
///
/// @param productFlopsPerSecond of a product of matrices that stay in caches
/// @param bytesPerSecond read and written by an addition that stays in the last-level cache
record Rates(double productFlopsPerSecond, double bytesPerSecond) {
  private static final int SIDE = 384;
  private static final int ELEMENTS = 1 << 20;
  private static final long MEASURED_NANOS = 50_000_000;
  private static final int SETTLED_ROUNDS = 6;
  private static final int MOST_ROUNDS = 120;
  private static final long POOL_BYTES = 1L << 30;

  // Attention's products are short and half of their work is masked; element-wise functions are
  // bound by arithmetic where they have much of it. Shares of a product's rate, measured on Zen 4.
  private static final double ATTENTION_SHARE = 0.5;
  private static final double ELEMENT_SHARE = 0.2;

  /// Measures the device that the options name.
  static Rates measure(TrainerOptions options) {
    DeviceProvider provider =
        ServiceLoader.load(DeviceProvider.class).stream()
            .map(ServiceLoader.Provider::get)
            .filter(found -> found.name().equals(options.device()))
            .findFirst()
            .orElseThrow();
    try (MemoryPool pool = MemoryPool.root("rates", POOL_BYTES);
        Device device =
            provider.open(0, new DeviceOptions(pool, options.threads(), options.vectorBits()));
        Stream stream = device.newStream()) {
      ValueType square = ValueType.f32(SIDE, SIDE);
      ValueType flat = ValueType.f32(ELEMENTS);
      double product =
          seconds(device, stream, square, new Primitive.MatMul(false, false, Blocks.WHOLE));
      double addition = seconds(device, stream, flat, new Primitive.Add());
      return new Rates(2.0 * SIDE * SIDE * SIDE / product, 3.0 * flat.bytes() / addition);
    }
  }

  private static double seconds(Device device, Stream stream, ValueType type, Primitive op) {
    GraphBuilder builder = new GraphBuilder("rate");
    Value result = builder.one(op, builder.input("a", type), builder.input("b", type));
    builder.output("c", result);
    List<Buffer> buffers = new ArrayList<>();
    try (Program program = device.compile(builder.build())) {
      Map<String, Tensor> tensors = new HashMap<>();
      for (String name : List.of("a", "b", "c")) {
        Buffer buffer = device.allocate(name, type.bytes());
        buffers.add(buffer);
        tensors.put(name, Tensor.of(buffer, type.dtype(), type.shape()));
      }
      BoundProgram bound = program.bind(tensors);
      return settled(stream, bound);
    } finally {
      buffers.forEach(Buffer::close);
    }
  }

  /// Repeats until the compiler has done its work and nothing gets faster.
  private static double settled(Stream stream, BoundProgram bound) {
    double best = repeat(stream, bound);
    int unchanged = 0;
    for (int round = 0; round < MOST_ROUNDS && unchanged < SETTLED_ROUNDS; round++) {
      double next = repeat(stream, bound);
      unchanged = next > 0.9 * best ? unchanged + 1 : 0;
      best = Math.min(best, next);
    }
    return best;
  }

  /// The fastest of many runs: what the device can do when nobody else is about.
  private static double repeat(Stream stream, BoundProgram bound) {
    long end = System.nanoTime() + MEASURED_NANOS;
    long least = Long.MAX_VALUE;
    long start = System.nanoTime();
    while (start < end) {
      stream.run(bound);
      stream.synchronize();
      long now = System.nanoTime();
      least = Math.min(least, now - start);
      start = now;
    }
    return least / 1e9;
  }

  /// For how long a rank will compute in a step.
  double seconds(StepPlan plan) {
    double seconds = 0;
    for (Map.Entry<String, List<Program>> part : plan.programs().entrySet()) {
      double once =
          part.getValue().stream()
              .flatMap(program -> program.steps().stream())
              .mapToDouble(this::seconds)
              .sum();
      seconds += plan.runs().getOrDefault(part.getKey(), 1) * once;
    }
    return seconds;
  }

  /// The time that a kernel call will take: its arithmetic or its bytes, whichever takes longer.
  /// What it does element by element on its result goes at the rate of element-wise work.
  double seconds(PlannedStep step) {
    double share =
        switch (step.kernel()) {
          case "Gemm" -> 1;
          case "Attention", "AttentionGrad" -> ATTENTION_SHARE;
          default -> ELEMENT_SHARE;
        };
    double flops =
        (step.cost().flops() - step.followingFlops()) / share
            + step.followingFlops() / ELEMENT_SHARE;
    return Math.max(flops / productFlopsPerSecond, step.cost().bytes() / bytesPerSecond);
  }
}
