package dev.lockstep.train.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Routed experts against loops over tokens in binary64, on sizes that nothing divides.
class RoutedExpertsTest {
  private static final int SEQUENCES = 3;
  private static final int POSITIONS = 7;
  private static final int TOKENS = SEQUENCES * POSITIONS;
  private static final int WIDTH = 9;
  private static final int HIDDEN = 5;
  private static final double TOLERANCE = 1e-12;

  private static MoeShape shape(int experts, int choices, int capacity) {
    return new MoeShape(1, 3, WIDTH, HIDDEN, experts, choices, capacity, 10, POSITIONS, 11, true);
  }

  private static Graph graph(MoeShape shape) {
    ModelTrace trace = new ModelTrace("experts");
    Value x = trace.builder().input("x", ValueType.f32(SEQUENCES, POSITIONS, WIDTH));
    trace.builder().output("y", RoutedExperts.of(shape, 0).apply(trace, x));
    trace.auxiliaries().keySet().forEach(value -> trace.builder().output("balance", value));
    return trace.builder().build();
  }

  private static Map<String, double[]> inputs(MoeShape shape, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    Map<String, double[]> inputs = new HashMap<>();
    inputs.put("x", gaussians(random, TOKENS * WIDTH));
    RoutedExperts.of(shape, 0)
        .parameters()
        .forEach(p -> inputs.put(p.name(), gaussians(random, (int) p.shape().elements())));
    return inputs;
  }

  private static double[] gaussians(SplittableRandom random, int count) {
    return DoubleStream.generate(random::nextGaussian).limit(count).toArray();
  }

  /// What the loops found.
  private static final class Found {
    private final double[] y;
    private final double balance;
    private final int dropped;

    Found(double[] y, double balance, int dropped) {
      this.y = y;
      this.balance = balance;
      this.dropped = dropped;
    }
  }

  private static Found loops(MoeShape shape, Map<String, double[]> inputs) {
    List<Parameter> parameters = RoutedExperts.of(shape, 0).parameters().toList();
    double[] x = of(inputs, "x");
    double[] router = of(inputs, parameters.get(0).name());
    double[] up = of(inputs, parameters.get(1).name());
    double[] down = of(inputs, parameters.get(2).name());
    int experts = shape.experts();
    double share = TOKENS * shape.expertsPerToken() / (double) experts;
    int places = (int) Math.min(TOKENS, Math.ceil(share * shape.capacityPercent() / 100));
    int[] taken = new int[experts];
    int[] chosen = new int[experts];
    double[] mass = new double[experts];
    double[] y = new double[x.length];
    int dropped = 0;
    for (int token = 0; token < TOKENS; token++) {
      double[] probability = probabilities(x, router, token, experts);
      boolean[] isUsed = new boolean[experts];
      for (int e = 0; e < experts; e++) {
        mass[e] += probability[e];
      }
      for (int choice = 0; choice < shape.expertsPerToken(); choice++) {
        int best = -1;
        for (int e = 0; e < experts; e++) {
          if (!isUsed[e] && (best < 0 || probability[e] > probability[best])) {
            best = e;
          }
        }
        isUsed[best] = true;
        chosen[best]++;
        if (taken[best] == places) {
          dropped++;
          continue;
        }
        taken[best]++;
        expert(x, up, down, best, token, probability[best], y);
      }
    }
    double balance = 0;
    for (int e = 0; e < experts; e++) {
      double choices = chosen[e] / (double) (TOKENS * shape.expertsPerToken());
      balance += experts * choices * mass[e] / TOKENS;
    }
    return new Found(y, balance, dropped);
  }

  private static double[] of(Map<String, double[]> among, String name) {
    return among.getOrDefault(name, new double[0]);
  }

  private static double[] probabilities(double[] x, double[] router, int token, int experts) {
    double[] probability = new double[experts];
    for (int e = 0; e < experts; e++) {
      double score = 0;
      for (int c = 0; c < WIDTH; c++) {
        score += x[token * WIDTH + c] * router[e * WIDTH + c];
      }
      probability[e] = Math.exp(score);
    }
    double sum = Arrays.stream(probability).sum();
    return Arrays.stream(probability).map(p -> p / sum).toArray();
  }

  private static void expert(
      double[] x, double[] up, double[] down, int expert, int token, double weight, double[] y) {
    for (int h = 0; h < HIDDEN; h++) {
      double sum = 0;
      for (int c = 0; c < WIDTH; c++) {
        sum += x[token * WIDTH + c] * up[(expert * WIDTH + c) * HIDDEN + h];
      }
      double inner = Math.sqrt(2 / Math.PI) * (sum + 0.044715 * sum * sum * sum);
      double activated = 0.5 * sum * (1 + Math.tanh(inner));
      for (int c = 0; c < WIDTH; c++) {
        y[token * WIDTH + c] += weight * activated * down[(expert * HIDDEN + h) * WIDTH + c];
      }
    }
  }

  @ParameterizedTest(name = "experts={0}, choices={1}, capacity={2} %, drops={3}")
  @CsvSource({
    "5, 1, 60, true",
    "5, 2, 70, true",
    "3, 3, 100, false",
    "4, 2, 1000, false",
    "1, 1, 50, true"
  })
  void areWhatLoopsOverTokensCompute(int experts, int choices, int capacity, boolean drops) {
    MoeShape shape = shape(experts, choices, capacity);
    Map<String, double[]> inputs = inputs(shape, 17L + experts);

    List<double[]> results = ReferenceInterpreter.run(graph(shape), inputs);

    Found expected = loops(shape, inputs);
    assertThat(expected.dropped > 0).isEqualTo(drops);
    Closeness.assertClose(results.get(0), expected.y, TOLERANCE);
    Closeness.assertClose(results.get(1), new double[] {expected.balance}, TOLERANCE);
  }

  @Test
  void laterTokensTakeNoPlaceFromEarlierOnes() {
    MoeShape shape = shape(4, 2, 60);
    Map<String, double[]> inputs = inputs(shape, 5);
    Graph graph = graph(shape);
    double[] before = ReferenceInterpreter.run(graph, inputs).getFirst();
    int from = TOKENS / 2 * WIDTH;
    double[] changed = of(inputs, "x").clone();
    for (int i = from; i < changed.length; i++) {
      changed[i] = -changed[i];
    }
    inputs.put("x", changed);

    double[] after = ReferenceInterpreter.run(graph, inputs).getFirst();

    assertThat(Arrays.copyOf(after, from)).isEqualTo(Arrays.copyOf(before, from));
    assertThat(after).isNotEqualTo(before);
  }

  @ParameterizedTest(name = "from token {0} to {1}")
  @CsvSource({"10, 11", "0, 21"})
  void aTokenThatIsNotANumberStaysOneAndTakesNoPlace(int from, int to) {
    MoeShape shape = shape(4, 2, 60);
    Map<String, double[]> inputs = inputs(shape, 5);
    Graph graph = graph(shape);
    double[] before = ReferenceInterpreter.run(graph, inputs).getFirst();
    double[] poisoned = of(inputs, "x").clone();
    Arrays.fill(poisoned, from * WIDTH, to * WIDTH, Double.NaN);
    inputs.put("x", poisoned);

    double[] after = ReferenceInterpreter.run(graph, inputs).getFirst();

    assertThat(Arrays.copyOf(after, from * WIDTH)).isEqualTo(Arrays.copyOf(before, from * WIDTH));
    for (int i = 0; i < after.length; i++) {
      boolean isPoisoned = i >= from * WIDTH && i < to * WIDTH;
      assertThat(Double.isNaN(after[i])).as("element %d", i).isEqualTo(isPoisoned);
    }
  }

  @Test
  void ofEqualProbabilitiesTheFirstIsChosen() {
    MoeShape shape = shape(4, 2, 1000);
    Map<String, double[]> inputs = inputs(shape, 3);
    String router = RoutedExperts.of(shape, 0).router().name();
    inputs.put(router, new double[of(inputs, router).length]);

    double[] found = ReferenceInterpreter.run(graph(shape), inputs).getFirst();

    Closeness.assertClose(found, loops(shape, inputs).y, TOLERANCE);
  }

  @Test
  void numbersThatDoNotFitAreRefused() {
    assertThatThrownBy(() -> shape(2, 3, 100))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("more experts than there are: --experts-per-token 3, --experts 2");
    assertThatThrownBy(() -> shape(2, 2, 0)).hasMessageContaining("--capacity-percent");
  }
}
