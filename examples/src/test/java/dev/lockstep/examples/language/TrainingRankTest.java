package dev.lockstep.examples.language;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.launcher.RankContext;
import dev.lockstep.train.model.GptShape;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/// A rank's work around its trainer.
@Timeout(60)
class TrainingRankTest {
  @TempDir private Path directory;
  private final ByteArrayOutputStream printed = new ByteArrayOutputStream();

  private void train(Path out) throws Exception {
    train(out, "--width 8 --sample 0 --device asking", JobConfig.of(Map.of()));
  }

  /// Trains a step; returns the most memory that it took.
  private long train(Path out, String more, JobConfig config) throws Exception {
    Path text = Files.writeString(directory.resolve("text.txt"), "some text\n".repeat(200));
    TrainingOptions options = new TrainingOptions(GptShape.defaults());
    new CommandLine(options)
        .parseArgs(
            ("--layers 1 --heads 1 --context 8 --lanes 1 --micro-batch 1 --steps 1 --threads 1"
                    + " --data %s --cache %s --out %s %s")
                .formatted(text, directory.resolve("cache"), out, more)
                .split(" "));
    return run(options, config);
  }

  private long run(TrainingOptions options, JobConfig config) {
    try (Job job = Job.inProcess(1, config).getFirst()) {
      new TrainingRank(
              new Alone(job, new PrintStream(printed, true, StandardCharsets.UTF_8)), options)
          .run();
      return job.memory().peakBytes();
    }
  }

  private String printedLine(String start) {
    return printed
        .toString(StandardCharsets.UTF_8)
        .lines()
        .filter(line -> line.startsWith(start))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void aRunWhoseTextIsNamedNoMoreGoesOnWithTheCachesOwn() throws Exception {
    Path out = directory.resolve("run");
    train(out, "--width 8 --sample 0", JobConfig.of(Map.of()));
    String sha256 = printedLine("data sha256");
    Files.delete(directory.resolve("text.txt"));
    printed.reset();

    List<String> arguments =
        List.of("--resume", out.toString(), "--cache", directory.resolve("cache").toString());
    new GptJob().check(arguments, 1);
    TrainingOptions options = new TrainingOptions(GptShape.defaults());
    new CommandLine(options).parseArgs(arguments.toArray(String[]::new));
    options.sample = 0;
    run(options, JobConfig.of(Map.of()));

    assertThat(printedLine("resumed after step 1")).isNotEmpty();
    assertThat(printedLine("data sha256")).isEqualTo(sha256);
  }

  /// The reloaded model lies beside the trained one, here more than a hash's buffers.
  @Test
  void aSampleIsShownWhereTheReloadedModelDoesNotFitBesideIt() throws Exception {
    String model = "--width 192 --sample ";
    JobConfig usual = JobConfig.of(Map.of());
    long most = train(directory.resolve("without"), model + 0, usual);
    printed.reset();

    train(
        directory.resolve("too-large"),
        model + 9,
        new JobConfig(usual.environment(), usual.joinTimeout(), usual.liveness(), most));

    assertThat(printed.toString(StandardCharsets.UTF_8))
        .containsSubsequence("validation loss ", "/**", "is not compared", "weights sha256 ");
  }

  /// As `lockstep compile --resume` asks: a run's programs are those of its recipe, not of the
  /// family's defaults.
  @Test
  void theRecipeOfANamedRunIsItsOwn() throws Exception {
    Path out = directory.resolve("saved");
    train(out, "--width 24 --sample 0", JobConfig.of(Map.of()));
    TrainingOptions named = new TrainingOptions(GptShape.defaults());
    new CommandLine(named).parseArgs("--resume", out.toString());
    assertThat(TrainingPlan.recipe(named).model())
        .isInstanceOfSatisfying(GptShape.class, shape -> assertThat(shape.width()).isEqualTo(24));
  }

  private record Alone(Job job, PrintStream out) implements RankContext {
    @Override
    public boolean stopRequested() {
      return false;
    }

    @Override
    public OptionalInt terminalColumns() {
      return OptionalInt.empty();
    }

    @Override
    public int threads() {
      return 1;
    }
  }

  /// A trainer that ends early waits for the checkpoint that it is writing.
  @Test
  void theFolderIsHeldUntilTheTrainerIsClosed() throws Exception {
    Path out = directory.resolve("run");
    List<String> answers = new ArrayList<>();
    AskingDeviceProvider.QUESTION.set(
        () -> {
          try (RunLock _ = RunLock.take(out, "another", answers::add)) {
            answers.add("free");
          } catch (ConfigurationException held) {
            answers.add(held.key() + " held");
          }
        });
    try {
      train(out);
    } finally {
      AskingDeviceProvider.QUESTION.set(() -> {});
    }
    assertThat(answers).containsExactly("--out held");
    RunLock.take(out, "another", answers::add).close();
    assertThat(printed.toString(StandardCharsets.UTF_8))
        .contains("weights sha256")
        .doesNotContain("writes the same");
  }
}
