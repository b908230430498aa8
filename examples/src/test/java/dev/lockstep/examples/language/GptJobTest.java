package dev.lockstep.examples.language;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.SavedRun;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.checkpoint.CheckpointFolder;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.optim.LearningRate;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import picocli.CommandLine;

class GptJobTest {
  @TempDir Path directory;

  private final GptJob job = new GptJob();

  private void check(String... arguments) {
    job.check(List.of(arguments), 2);
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "--heads 5,                 --heads,       --heads 5",
    "--width 127,               --heads,       --width 127",
    "--steps 0,                 --steps,       --steps 0",
    "--steps many,              --steps,       many",
    "--lanes 1,                 --lanes,       ranks 2",
    "--lr 0,                    --lr,          --lr 0.0",
    "--threads -1,              --threads,     --threads -1",
    "--save-every -5,           --save-every,  --save-every -5",
    "--keep-old -1,             --keep-old,    --keep-old -1",
    "--sample -1,               --sample,      --sample -1",
    "--timeout 0,               --timeout,     --timeout 0",
    "--data /no/such/place,     --data,        /no/such/place",
    "--resume /no/such/place,   --resume,      /no/such/place",
    "--out /etc/hostname/x,     --out,         /etc/hostname",
    "--nonsense,                gpt,           --nonsense",
    "--nproc-per-node 2,        gpt,           stand before gpt",
    "--kv-heads 2,              --kv-heads,    model gpt",
    "--dropout 1,               --dropout,     --dropout 1.0",
    "--recipe /no/such/file,    --recipe,      /no/such/file",
    "--weights /no/such/place,  '',            /no/such/place/config.json",
  })
  void refusesInOneSentenceThatNamesTheOption(String line, String key, String named)
      throws IOException {
    assertThatThrownBy(() -> check(line.split(" ")))
        .isInstanceOfSatisfying(
            ConfigurationException.class, refused -> assertThat(refused.key()).isEqualTo(key))
        .hasMessageContaining(named)
        .extracting(Throwable::getMessage)
        .asString()
        .doesNotContain("\n");
    try (Stream<Path> written = Files.list(directory)) {
      assertThat(written).isEmpty();
    }
  }

  @Test
  void acceptsWhatItIsMeantFor() throws IOException {
    Path text = Files.writeString(directory.resolve("text.txt"), "some text");

    check("--data", text.toString(), "--out", directory.resolve("a/b").toString());
    check("--data", directory.toString(), "--heads", "8", "--lanes", "5", "--lr", "1e-3");
    assertThat(directory.resolve("a")).doesNotExist();
  }

  @Test
  void optionsArePutOverTheRecipesFile() throws IOException {
    Path recipe = directory.resolve("recipe.json");
    Files.writeString(
        recipe,
        """
        {"model": {"family": "llama", "layers": 3, "tiedHead": false}, "steps": 40, "seed": 9,
         "batch": {"lanes": 5}, "learningRate": {"warmupSteps": 2}}
        """);
    TrainingOptions options = new TrainingOptions(LlamaShape.defaults());
    new CommandLine(options)
        .parseArgs("--recipe", recipe.toString(), "--kv-heads", "4", "--dropout", "0.1");

    assertThat(options.freshRecipe())
        .isEqualTo(
            Recipe.read(recipe)
                .withModel(
                    LlamaShape.defaults().with(Map.of("--layers", 3, "--kv-heads", 4), false))
                .withDropout(0.1f));
    assertThat(options.freshRecipe().learningRate().warmupSteps()).isEqualTo(2);
    assertThatThrownBy(() -> check("--recipe", recipe.toString()))
        .hasMessageContaining(
            "another family: --recipe " + recipe + " has llama (start it with lockstep run llama)");
  }

  @Test
  void aScheduleAndAnEvaluationThatAFileDescribesKeepTheirForm() throws IOException {
    Path recipe = directory.resolve("recipe.json");
    Files.writeString(
        recipe,
        """
        {"steps": 40, "batch": {"lanes": 5, "validationBatches": 40},
         "learningRate": {"peak": 0.002, "minimum": 0.001, "warmupSteps": 7}}
        """);
    TrainingOptions options = new TrainingOptions(GptShape.defaults());
    new CommandLine(options)
        .parseArgs("--recipe", recipe.toString(), "--lr", "0.004", "--steps", "80", "--lanes", "6");

    Recipe changed = options.freshRecipe();
    assertThat(changed.learningRate()).isEqualTo(new LearningRate(0.004f, 0.002f, 7));
    assertThat(changed.steps()).isEqualTo(80);
    assertThat(changed.batch()).isEqualTo(new BatchShape(6, 3, 40));

    TrainingOptions usual = new TrainingOptions(GptShape.defaults());
    new CommandLine(usual).parseArgs("--steps", "80", "--lanes", "50");
    assertThat(usual.freshRecipe().learningRate())
        .isEqualTo(LearningRate.of(Recipe.DEFAULT_LEARNING_RATE, 80));
    assertThat(usual.freshRecipe().batch()).isEqualTo(BatchShape.of(50, 3));
  }

  @Test
  void aRunIsRefusedThatEndsBeforeItsLearningRateComesDown() throws IOException {
    Path recipe = directory.resolve("recipe.json");
    Files.writeString(recipe, "{\"steps\": 2000, \"learningRate\": {\"warmupSteps\": 500}}");

    assertThatThrownBy(() -> check("--recipe", recipe.toString(), "--steps", "200"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("learningRate.warmupSteps 500, --steps 200");
  }

  @Test
  void aRunThatBeganWithWeightsGoesOnWithItsRecipesFile() throws IOException {
    Path recipe = directory.resolve("recipe.json");
    Files.writeString(recipe, "{\"steps\": 40, \"seed\": 9}");
    TrainingOptions options = new TrainingOptions(GptShape.defaults());
    new CommandLine(options).parseArgs("--recipe", recipe.toString());
    Recipe imported =
        Recipe.read(recipe)
            .withModel(new GptShape(2, 2, 32, 16, 300, true))
            .withInitialWeights("ab12");

    options.requireNoContradiction(saved(imported));
    assertThatThrownBy(() -> options.requireNoContradiction(saved(imported.withSeed(8))))
        .hasMessageContaining("contradicts the run that --resume continues: --recipe");
    assertThatThrownBy(() -> options.requireNoContradiction(saved(imported.withInitialWeights(""))))
        .hasMessageContaining("contradicts the run that --resume continues: --recipe");
  }

  private SavedRun saved(Recipe recipe) {
    return new SavedRun(directory, recipe, 3, "", "");
  }

  @Test
  void aResumedRunLeavesTheOldCheckpointsThatThereAreUnlessToldOtherwise() {
    assertThat(keptOld()).isZero();
    assertThat(keptOld("--keep-old", "4")).isEqualTo(4);
    assertThat(keptOld("--resume", "run")).isEqualTo(CheckpointFolder.AS_BEFORE);
    assertThat(keptOld("--resume", "run", "--keep-old", "0")).isZero();
  }

  @Test
  void ranksWaitForEachOtherAsLongAsTheyAreTold() {
    assertThat(timeout()).isEqualTo(TrainerOptions.defaults().timeout());
    assertThat(timeout("--timeout", "1800")).isEqualTo(Duration.ofMinutes(30));
  }

  private static Duration timeout(String... arguments) {
    TrainingOptions options = new TrainingOptions(GptShape.defaults());
    new CommandLine(options).parseArgs(arguments);
    return options.trainerOptions(1).timeout();
  }

  private int keptOld(String... arguments) {
    TrainingOptions options = new TrainingOptions(GptShape.defaults());
    new CommandLine(options).parseArgs(arguments);
    return options.trainingRun(directory).keepOld();
  }

  @Test
  void everyFamilyHasAJobOfItsName() {
    assertThat(new LlamaJob().name()).isEqualTo("llama");
    assertThat(new MlpJob().name()).isEqualTo("mlp");
    assertThat(new MoeJob().name()).isEqualTo("moe");
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    new LlamaJob().help("lockstep run llama", new PrintStream(bytes, true, StandardCharsets.UTF_8));
    assertThat(bytes.toString(StandardCharsets.UTF_8))
        .startsWith("Usage: lockstep run llama")
        .contains("Sizes by default: --layers 4 --heads 4 --kv-heads 2 --width 128 --hidden 344");
  }

  @Test
  void aRunIsRefusedThatWouldWriteIntoItsOwnText() throws IOException {
    Path text = Files.createDirectory(directory.resolve("text"));
    Path link = Files.createSymbolicLink(directory.resolve("link"), text);
    String outside = directory.resolve("other").toString();
    String inside = text.resolve("runs/mine").toString();
    String data = link.toString();

    assertThatThrownBy(() -> check("--data", data, "--cache", outside, "--out", inside))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage(
            "the run would write into its own text: --out %s, --data %s (give --out a folder"
                + " outside of --data)",
            inside, data);
    assertThatThrownBy(() -> check("--data", data, "--cache", inside, "--out", outside))
        .hasMessageStartingWith("the run would write into its own text: --cache " + inside);
    String hidden = text.resolve(".cache/tokens").toString();
    check("--data", data, "--cache", hidden, "--out", outside);
  }

  @Test
  void aRunIsRefusedWhoseLogsWouldLieInItsText() throws IOException {
    Path text = Files.createDirectory(directory.resolve("text"));
    Path file = Files.writeString(text.resolve("text.txt"), "some text");
    Path logs = text.resolve("logs/mine");
    assertThatThrownBy(() -> job.checkLogs(List.of("--data", text.toString()), logs))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage(
            "the run would write into its own text: --log-dir %s, --data %s (give --log-dir a"
                + " folder outside of --data)",
            logs, text);
    job.checkLogs(List.of("--data", text.toString()), text.resolve(".logs"));
    job.checkLogs(List.of("--data", text.toString()), directory.resolve("logs"));
    job.checkLogs(List.of("--data", file.toString()), logs);
    job.checkLogs(List.of(), logs);
  }

  @Test
  void refusesAFolderThatHoldsAnotherRun() throws IOException {
    Files.writeString(directory.resolve("metrics.jsonl"), "{}");

    assertThatThrownBy(() -> check("--data", "/etc/hostname", "--out", directory.toString()))
        .hasMessageContaining("holds another run")
        .hasMessageContaining("ended before its first checkpoint");
  }

  @Test
  void listsEveryOption() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    job.help("lockstep run gpt", new PrintStream(bytes, true, StandardCharsets.UTF_8));

    assertThat(bytes.toString(StandardCharsets.UTF_8))
        .startsWith("Usage: lockstep run gpt")
        .contains(
            "--data",
            "--steps",
            "--layers",
            "--heads",
            "--width",
            "--context",
            "--lanes",
            "--micro-batch",
            "--lr",
            "--seed",
            "--threads",
            "--transport",
            "--save-every",
            "--cache",
            "--out",
            "--resume",
            "--device");
  }
}
