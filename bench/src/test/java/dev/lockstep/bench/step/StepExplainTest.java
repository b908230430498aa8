package dev.lockstep.bench.step;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.bench.ExplainCommand;
import dev.lockstep.bench.PerfCommand;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.model.LlamaShape;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class StepExplainTest {
  // Measuring takes a second; what is told of a plan does not depend on it.
  private static final Rates RATES = new Rates(1e11, 2e10);

  @TempDir Path folder;

  private static String explain(String arguments) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
      assertThat(StepExplain.run(List.of(arguments.split(" ", -1)), out, _ -> RATES)).isZero();
    }
    return bytes.toString(StandardCharsets.UTF_8);
  }

  private static String explainAsPerf(String arguments) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
      assertThat(
              new PerfCommand()
                  .run(List.of(("step " + arguments + " --plan").split(" ", -1)), out, out))
          .isZero();
    }
    return bytes.toString(StandardCharsets.UTF_8);
  }

  private static long number(String text, String label) {
    Matcher matcher = Pattern.compile("(?m)^" + label + " +([\\d,]+) bytes$").matcher(text);
    assertThat(matcher.find()).as(label).isTrue();
    return Long.parseLong(matcher.group(1).replace(",", ""));
  }

  @Test
  void printsOpsMemoryAndAPredictedTime() throws Exception {
    String text =
        explainAsPerf(
            "gpt --layers 2 --heads 2 --width 32 --context 16 --micro-batch 3 --lanes 4 --threads"
                + " 2");
    assertThat(text)
        .contains("lanes, run 4 times", "joins, run 3 times", "update, run 1 times")
        .contains("Attention heads=6 ", "AdamW elements=4096", "predicted step");
    long sum = 0;
    for (String part :
        List.of(
            "parameters",
            "moments",
            "gradients",
            "data",
            "arena of lanes",
            "arena of joins",
            "arena of update")) {
      sum += number(text, part);
    }
    assertThat(number(text, "peak memory")).isEqualTo(sum);
  }

  @Test
  void tellsWhatEachStageOfAPipelineTakes() throws Exception {
    String text =
        explain(
            "gpt -np 2 --mesh pp=2 --layers 3 --heads 2 --width 32 --context 16 --micro-batch 3"
                + " --lanes 4 --threads 1");
    // 4 lanes of 3 windows of 16 tokens of 32 features.
    String sent = "%,12d".formatted(4 * 3 * 16 * 32 * Float.BYTES);
    assertThat(text)
        .contains("forward, run 4 times", "lanes in flight", "pipeline: 2 stages")
        .containsPattern("(?m)^    0 .*" + sent + " +0$")
        .containsPattern("(?m)^    1 .* 0 " + sent + "$")
        .containsPattern("stages wait for [0-9.]+ % of the lanes' time")
        .contains("stages have 2, 1 of 3 blocks", "with --layers 4 they have 2, 2:")
        .containsPattern("stages wait for [0-9.]+ % of the lanes' time instead of [0-9.]+ %");
  }

  @Test
  void comparesInterleavedStagesWithWholeOnes() throws Exception {
    String text =
        explain(
            "gpt --mesh pp=2 --schedule interleaved --layers 4 --heads 2 --width 32 --context 16"
                + " --micro-batch 3 --lanes 4 --threads 1");
    // Of the three borders between four chunks stage 0 stands before two, stage 1 before one.
    long message = 4 * 3 * 16 * 32 * Float.BYTES;
    assertThat(text)
        .contains("forward of chunk 0, run 4 times", "backward of chunk 2, run 4 times")
        .containsPattern("(?m)^    0 .* %,d +%,d$".formatted(2 * message, message))
        .containsPattern("(?m)^    1 .* %,d +%,d$".formatted(message, 2 * message))
        .containsPattern("2 stages of 2 chunks, .*stages wait for [0-9.]+ %")
        .containsPattern("one chunk per stage, .*stages wait for [0-9.]+ %")
        .doesNotContain("blocks:");
  }

  @Test
  void tellsWhatPipelinesShareOut() throws Exception {
    String text =
        explain(
            "gpt --mesh pp=2,dp=2 --zero 3 --layers 4 --heads 2 --width 32 --context 16"
                + " --micro-batch 3 --lanes 4 --threads 1");
    assertThat(text)
        .contains("gathered parameters", "gradient shards", "behind backward, phase")
        .containsPattern("dp +all_gather of parameters of unit");
  }

  @Test
  void isAVerbOfItsOwn() throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
      String small = "step gpt --layers 1 --heads 2 --width 16 --context 8 --threads 1";
      assertThat(new ExplainCommand().run(List.of(small.split(" ", -1)), out, out)).isZero();
    }
    assertThat(bytes.toString(StandardCharsets.UTF_8)).contains("peak memory", "predicted step");
  }

  @Test
  void tellsWhatSequenceParallelismSavesAndSends() throws Exception {
    String small =
        "gpt --mesh tp=2 --layers 2 --heads 2 --width 32 --context 32 --token-blocks 2 --threads 1";
    String text = explain(small + " --sequence-parallel");
    long kept = number(explain(small), "peak memory");
    long saved = kept - number(text, "peak memory");
    assertThat(saved).isPositive();
    assertThat(text)
        .contains("reduce_scatter of lanes", "all_gather of lanes")
        .contains("sequence parallelism saves %,d of %,d bytes".formatted(saved, kept));
  }

  @Test
  void tellsWhatUnevenLanesCost() throws Exception {
    String small = "gpt --layers 1 --heads 2 --width 32 --context 16 --threads 1 --mesh ";
    String uneven = explain(small + "dp=2 --lanes 5");
    // Rank 0 has lanes 0 to 2 of 5, of which 0 and 1 are a subtree and 2 waits for lane 3.
    assertThat(uneven)
        .contains("places of dp have 3, 2 of 5 lanes", "rank 0 computes for", "with --lanes 4,")
        .containsPattern("rank 1 for [0-9.]+ ms: it waits for [1-9][0-9.]* % of the time");
    Matcher sent = Pattern.compile("sends ([\\d,]+) bytes .* instead of ([\\d,]+)").matcher(uneven);
    assertThat(sent.find()).isTrue();
    assertThat(bytes(sent.group(2)) / (double) bytes(sent.group(1))).isBetween(1.1, 1.3);
  }

  @Test
  void looksAtNoMoreTokensThanAWindowOfTheUsers() throws Exception {
    assertThat(explain("mlp --width 32 --context 4 --window 4 --threads 1")).contains("mlp: ");
  }

  private static long bytes(String number) {
    return Long.parseLong(number.replace(",", ""));
  }

  @Test
  void explainsTheRecipeOfAFile() throws Exception {
    Path file = folder.resolve("recipe.json");
    Recipe.defaults()
        .withModel(new LlamaShape(1, 4, 2, 16, 24, 8, 256, false, 10_000, 1e-5f))
        .withBatch(Recipe.BatchShape.of(6, 2))
        .write(file);
    assertThat(explain("llama --threads 1 --context 16 --recipe " + file))
        .contains("llama: ", "6 lanes of 2 windows of 16 tokens", "lanes, run 6 times")
        .doesNotContain("uneven", "fitting");
    assertThatThrownBy(() -> explain("gpt --recipe " + file))
        .hasMessageContaining("has llama, the command names gpt");
  }

  @Test
  void tellsWhatLaterPositionsCost() throws Exception {
    String text =
        explain(
            "gpt --layers 1 --heads 2 --width 32 --context 64 --threads 1 --token-blocks 2 --mesh"
                + " cp=2");
    assertThat(text)
        .contains("rank 1 of 2, 1 lanes", "rank 1 computes for")
        .containsPattern("rank 0 for [0-9.]+ ms: it waits for [0-9.]+ % of the time");
  }

  @Test
  void tellsWhatRecomputationSaves() throws Exception {
    String kept = explain("gpt --layers 3 --heads 2 --width 32 --context 32 --threads 1");
    String again =
        explain("gpt --layers 3 --heads 2 --width 32 --context 32 --threads 1 --recompute block");
    assertThat(number(again, "arena of lanes")).isLessThan(number(kept, "arena of lanes"));
  }
}
