package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.Device;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.CompositeCases;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.OpCase;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// What is not a number or not finite goes where IEEE arithmetic takes it, and any number of
/// threads has the same bits.
@Timeout(60)
class SpecialNumbersTest {
  private static final int MOST_THREADS = 8;
  private static final List<Device> DEVICES = new ArrayList<>();

  @BeforeAll
  static void open() {
    DEVICES.add(GraphRun.device(1, KernelSet.SCALAR_BITS));
    for (int threads = 1; threads <= MOST_THREADS; threads++) {
      DEVICES.add(GraphRun.device(threads, 0));
    }
  }

  @AfterAll
  static void close() {
    DEVICES.forEach(Device::close);
  }

  static Stream<OpCase> composites() {
    return CompositeCases.all().stream();
  }

  /// Ops whose results are infinite or NaN exactly where the definition's are.
  static Stream<OpCase> plain() {
    return composites()
        .filter(c -> c.operands().getFirst().length > 0)
        .filter(
            c ->
                switch ((Composite) c.op()) {
                  case Composite.Silu _, Composite.SwiGlu _, Composite.SwiGluGrad _ -> true;
                  case Composite.RmsNorm _, Composite.RmsNormGrad _, Composite.Rotary _ -> true;
                  case Composite.GroupedAttention _, Composite.GroupedAttentionGrad _ -> true;
                  default -> false;
                });
  }

  @ParameterizedTest
  @MethodSource("composites")
  void oneToEightThreadsHaveTheSameBits(OpCase op) {
    Graph graph = op.graph();
    List<double[]> expected = List.of();
    for (Device device : DEVICES) {
      try (GraphRun run = new GraphRun(device, graph)) {
        List<double[]> found = run.run(op.inputs());
        if (expected.isEmpty()) {
          expected = found;
        }
        assertThat(found).as("%s", device.info()).usingRecursiveComparison().isEqualTo(expected);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("plain")
  void whatIsNotFiniteComesThroughAsDefined(OpCase op) {
    for (double special :
        new double[] {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY}) {
      Map<String, double[]> inputs = new LinkedHashMap<>(op.inputs());
      double[] poisoned = op.operands().getFirst().clone();
      poisoned[poisoned.length / 2] = special;
      inputs.put("in0", poisoned);
      List<double[]> operands = List.copyOf(inputs.values());
      List<double[]> expected = new OpCase(op.op(), op.types(), operands).expected();
      for (Device device : DEVICES.subList(0, 2)) {
        try (GraphRun run = new GraphRun(device, op.graph())) {
          List<double[]> found = run.run(inputs);
          for (int i = 0; i < expected.size(); i++) {
            assertSameKinds(found.get(i), expected.get(i));
          }
        }
      }
    }
  }

  private static void assertSameKinds(double[] found, double[] expected) {
    assertThat(specials(found)).containsExactly(specials(expected));
  }

  /// The numbers with 0 for whatever is finite.
  private static double[] specials(double[] numbers) {
    return Arrays.stream(numbers).map(x -> Double.isFinite(x) ? 0 : x).toArray();
  }
}
