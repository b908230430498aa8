package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.job.JobConfig;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.checkpoint.HuggingFaceFolder;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.MlpShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.nn.Precision;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

@Timeout(60)
class InferenceTest {
  @TempDir Path directory;

  private final TrainerOptions options = TrainerOptions.defaults().withThreads(1);

  private Path saved(int vocabulary) throws Exception {
    return saved(new GptShape(1, 1, 8, 4, vocabulary, true));
  }

  private Path saved(ModelShape shape) throws Exception {
    return saved(shape, Precision.F32, _ -> {});
  }

  private Path saved(ModelShape shape, Precision precision, Consumer<Trainer> beside)
      throws Exception {
    Recipe recipe =
        Recipe.defaults().withModel(shape).withPrecision(precision).withBatch(BatchShape.of(1, 1));
    Path folder = directory.resolve("checkpoint");
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      InProcessRanks.run(
          1,
          job -> {
            try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
              trainer.save(folder);
              beside.accept(trainer);
            }
            return 0;
          });
    }
    return folder;
  }

  /// As options of a job have it whose transport this program does not carry.
  @Test
  void needsNoTransport() throws Exception {
    try (HuggingFaceFolder folder = HuggingFaceFolder.open(saved(256));
        Inference model = new Inference(folder, options.withTransport("pigeon"))) {
      assertThat(model.logits(1, 2, 3)).hasDimensions(3, 256);
    }
  }

  static Stream<ModelShape> families() {
    return Stream.of(
        new GptShape(1, 2, 8, 6, 256, false),
        LlamaShape.of(1, 2, 1, 8, 12, 6),
        new MlpShape(2, 8, 12, 3, 6, 256, true),
        // Places are scarce: what follows a token must not take its own.
        new MoeShape(1, 2, 8, 12, 4, 2, 60, 10, 6, 256, true));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("families")
  void everyFamilysCheckpointIsAskedAndSeesNothingAhead(ModelShape shape) throws Exception {
    try (HuggingFaceFolder folder = HuggingFaceFolder.open(saved(shape));
        Inference model = new Inference(folder, options)) {
      assertThat(model.shape()).isEqualTo(shape);
      float[][] few = model.logits(7, 7, 200);
      float[][] more = model.logits(7, 7, 200, 0, 7, 7);
      assertThat(few).hasDimensions(3, 256).isDeepEqualTo(Arrays.copyOf(more, 3));
      assertThat(few[0]).isNotEqualTo(few[2]);
    }
  }

  /// A temperature near 0 draws the byte of the greatest logit.
  @ParameterizedTest(name = "{0}")
  @MethodSource("families")
  void answersWithTheLogitsThatTheRunSamplesFrom(ModelShape shape) throws Exception {
    SamplingOptions sampling = new SamplingOptions("a", 3, 1, 1e-9);
    AtomicReference<String> sampled = new AtomicReference<>("");
    Path folder =
        saved(shape, Precision.BF16, trainer -> sampled.set(trainer.sample(sampling, () -> false)));
    SavedRun saved = SavedRun.open(folder);
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    text.write('a');
    try (Inference model = new Inference(saved, options);
        Inference unrounded = new Inference(inF32(saved), options)) {
      while (text.size() < 4) {
        int[] ids = text.toString(StandardCharsets.ISO_8859_1).chars().toArray();
        float[][] logits = model.logits(ids);
        assertThat(Arrays.deepEquals(logits, unrounded.logits(ids))).isFalse();
        text.write(greatest(logits[ids.length - 1]));
      }
    }
    assertThat(sampled.get()).isEqualTo(text.toString(StandardCharsets.UTF_8));
  }

  private static SavedRun inF32(SavedRun saved) {
    Recipe recipe = saved.recipe().withPrecision(Precision.F32);
    return new SavedRun(saved.folder(), recipe, saved.step(), saved.dataSha256(), saved.sha256());
  }

  private static int greatest(float[] logits) {
    return IntStream.range(0, logits.length)
        .reduce(0, (best, i) -> logits[i] > logits[best] ? i : best);
  }

  @Test
  void keepsToItsMemoryBudgetAndToTheFolderOfItsJob() throws Exception {
    SavedRun saved = SavedRun.open(saved(256));
    JobConfig small = JobConfig.of(Map.of()).withMemoryBudgetBytes(1_000);
    assertThatThrownBy(() -> new Inference(saved, options, small).close())
        .isInstanceOf(MemoryBudgetException.class)
        .hasMessageContaining("1000");
    String absent = directory.resolve("absent").toString();
    JobConfig elsewhere = JobConfig.of(Map.of("LOCKSTEP_JOB_DIR", absent));
    assertThatThrownBy(() -> new Inference(saved, options, elsewhere).close())
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContainingAll("LOCKSTEP_JOB_DIR", absent);
  }

  @ParameterizedTest(name = "vocabulary {0}")
  @CsvSource({"256, false", "300, true"})
  void weightsOfOtherTokensThanBytesAreKnown(int vocabulary, boolean areOthers) throws Exception {
    try (HuggingFaceFolder folder = HuggingFaceFolder.open(saved(vocabulary))) {
      assertThat(InitialWeights.otherTokens(folder).isPresent()).isEqualTo(areOthers);
      InitialWeights.otherTokens(folder)
          .ifPresent(words -> assertThat(words).contains("vocabulary=300", "bytes"));
    }
  }
}
