package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.device.Device;
import dev.lockstep.graph.Composite.Rotary;
import dev.lockstep.graph.Decomposition;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class RotationTest {
  @ParameterizedTest(name = "position={0}")
  @ValueSource(ints = {0, 1, 2, 3, 7, 100, 4_095, 131_071, 10_000_000})
  void sinesAndCosinesAreTheNearestFloats(int position) {
    var kernels = new Kernels(1);
    int size = 128;
    Rotation rotation = new Rotation(1, 1, 1, new Rotary(size, 10_000, position, false));
    Rotation back = new Rotation(1, 1, 1, new Rotary(size, 10_000, position, true));
    long there = kernels.zeros(size);
    long again = kernels.zeros(size);
    rotation.angles(0, there);
    back.angles(0, again);
    for (int i = 0; i < size / 2; i++) {
      double angle = position * StrictMath.pow(10_000, -2.0 * i / size);
      float cosine = Memory.f32(there + i * 4L);
      float sine = Memory.f32(there + (size / 2 + i) * 4L);
      // Correctly rounded save where binary64 itself is near a tie.
      assertThat((double) cosine).isCloseTo(StrictMath.cos(angle), within(4e-8));
      assertThat((double) sine).isCloseTo(StrictMath.sin(angle), within(4e-8));
      assertThat(Memory.f32(again + i * 4L)).isEqualTo(cosine);
      assertThat(Memory.f32(again + (size / 2 + i) * 4L)).isEqualTo(-sine);
    }
  }

  /// Devices without a kernel of their own run the primitives in float32.
  @ParameterizedTest(name = "first position={0}")
  @ValueSource(longs = {0, 4_094, 100_000, 16_000_000})
  void primitivesKeepTheAnglesOfFarPositions(long first) {
    int size = 128;
    int tokens = 5;
    GraphBuilder builder = new GraphBuilder("far");
    Value x = builder.input("x", ValueType.f32(1, tokens, size));
    builder.output("y", builder.one(new Rotary(size, 10_000, first, false), x));
    Graph primitives = Decomposition.expand(builder.build(), (_, _) -> false);
    double[] ones = new double[tokens * size];
    for (int i = 0; i < ones.length; i++) {
      ones[i] = i % size < size / 2 ? 1 : 0;
    }
    double[] turned;
    try (Device device = GraphRun.device(1, 0);
        GraphRun run = new GraphRun(device, primitives)) {
      turned = run.run(Map.of("x", ones)).getFirst();
    }
    for (int token = 0; token < tokens; token++) {
      for (int i = 0; i < size / 2; i++) {
        double angle = (first + token) * StrictMath.pow(10_000, -2.0 * i / size);
        int at = token * size + i;
        assertThat(turned[at]).isCloseTo(StrictMath.cos(angle), within(4e-6));
        assertThat(turned[at + size / 2]).isCloseTo(StrictMath.sin(angle), within(4e-6));
      }
    }
  }
}
