package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.lockstep.bench.step.StepOptions;
import dev.lockstep.bench.step.StepRun;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class PerfStepTest {
  @TempDir Path folder;

  private static String perf(String... arguments) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
      assertThat(new PerfCommand().run(List.of(arguments), out, out)).isZero();
      return bytes.toString(StandardCharsets.UTF_8);
    }
  }

  @Test
  void timesEveryPartAndWritesTheSameAsJson() throws Exception {
    Path json = folder.resolve("step.json");
    String out =
        perf(
            "step gpt --layers 2 --heads 2 --width 32 --context 16 --micro-batch 3 --lanes 2 --threads 2 --steps 5 --warm-up 0 --json"
                .concat(" " + json)
                .split(" ", -1));
    JsonNode root = new ObjectMapper().readTree(json.toFile());
    double millis = root.path("millisecondsPerStep").asDouble();
    assertThat(millis).isPositive();
    assertThat(root.path("tokensPerSecond").asDouble())
        .isCloseTo(2 * 3 * 16 / millis * 1e3, within(1e-6 * 96 / millis * 1e3));
    assertThat(root.path("allocatedBytesPerStep").isNumber()).isTrue();
    for (String part : List.of("lanes", "joins", "update")) {
      double sum = 0;
      for (JsonNode kernel : root.path("kernels").path(part)) {
        sum += kernel.path("milliseconds").asDouble();
      }
      double whole = root.path("millisecondsPerPart").path(part).asDouble();
      assertThat(whole).as(part).isPositive().isCloseTo(sum, within(1e-9 + sum * 1e-9));
      assertThat(out).contains("\n" + part);
    }
    assertThat(out).contains("AttentionGrad heads=6 groups=6 queries=16", "ms/step", "tokens/s");
  }

  @Test
  void aRankThatIsAskedToStopEndsWithoutAResult() throws Exception {
    StepOptions options =
        StepOptions.parse(
            List.of(
                "gpt --layers 1 --heads 1 --width 8 --context 8 --micro-batch 1 --lanes 1 --threads 1 --steps 100000 --warm-up 0"
                    .split(" ", -1)));
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (Job job = Job.inProcess(1, JobConfig.of(Map.of())).getFirst();
        PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
      assertThat(StepRun.rank(job, 1, options, out, () -> true)).isZero();
    }
    assertThat(bytes.size()).isZero();
  }

  @Test
  void refusesWhatCannotBeTimed() {
    assertThatThrownBy(() -> perf("step", "bert"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("model bert");
    assertThatThrownBy(() -> perf("step", "gpt", "-np", "3", "--lanes", "2"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--lanes 2");
    assertThatThrownBy(() -> perf("step", "gpt", "--transport", "pigeon"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--transport=pigeon");
  }
}
