package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Precision;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A GPT with routed experts ends in the bits of one rank, follows binary64, and goes on under
/// other layouts.
@Timeout(120)
class MoeTest {
  private static final MoeShape SHAPE = new MoeShape(2, 4, 16, 12, 4, 2, 90, 10, 8, 256, true);

  @TempDir Path directory;
  private Path text;

  @BeforeEach
  void writeText() throws IOException {
    text = TinyText.write(directory.resolve("text"));
  }

  /// Five lanes: uneven on two and three places.
  private static Recipe recipe() {
    return Recipe.defaults()
        .withModel(SHAPE)
        .withBlocks(new SumBlocks(4, 2))
        .withSteps(2)
        .withBatch(new BatchShape(5, 2, 5));
  }

  /// Reads `dp=2,tp=2 --zero 1 --sequence-parallel`.
  private static TrainerOptions options(String words, Recompute recompute) {
    List<String> given = List.of(words.split(" ", -1));
    int zero = given.indexOf("--zero");
    Layout layout =
        Layout.parse(given.getFirst())
            .withZero(zero < 0 ? 0 : Integer.parseInt(given.get(zero + 1)))
            .withSequenceParallel(given.contains("--sequence-parallel"));
    return TrainerOptions.defaults().withThreads(1).withRecompute(recompute).withLayout(layout);
  }

  private TrainedRun train(Recipe recipe, TrainerOptions options) throws Exception {
    try (Corpus corpus = TinyText.open(text)) {
      return TrainedRun.of(recipe, corpus, options.layout().places(), options);
    }
  }

  private void keepsTheBits(Recipe recipe, String... layouts) throws Exception {
    TrainedRun alone = train(recipe, options("dp=1", Recompute.NONE));
    assertThat(alone.losses()).allSatisfy(loss -> assertThat(loss).isBetween(4f, 7f));
    for (String layout : layouts) {
      assertThat(train(recipe, options(layout, Recompute.NONE)))
          .as("--mesh %s", layout)
          .isEqualTo(alone);
    }
  }

  @Test
  void lanesOnTwoRanksKeepTheBits() throws Exception {
    keepsTheBits(recipe().withSteps(1), "dp=2 --zero 1", "dp=3 --zero 3");
  }

  @Test
  void expertsOnTwoRanksKeepTheBits() throws Exception {
    keepsTheBits(recipe(), "ep=2", "tp=2,ep=2");
  }

  @Test
  void positionsOnTwoRanksKeepTheBits() throws Exception {
    keepsTheBits(
        recipe().withSteps(1), "cp=2", "tp=2 --sequence-parallel", "ep=2 --sequence-parallel");
  }

  @Tag("long")
  @ParameterizedTest(name = "a token goes to {0}, {1} sequences")
  @CsvSource({"2, 1", "1, 3", "3, 2"})
  void positionsOnAnyMeshKeepTheBits(int choices, int sequences) throws Exception {
    keepsTheBits(
        recipe()
            .withModel(new MoeShape(2, 4, 16, 12, 4, choices, 90, 10, 8, 256, false))
            .withBlocks(new SumBlocks(4, 4))
            .withBatch(new BatchShape(3, sequences, 3)),
        "cp=2",
        "cp=4",
        "dp=2,cp=2 --zero 3",
        "cp=2,pp=2",
        "tp=2 --sequence-parallel",
        "tp=4 --sequence-parallel",
        "tp=2,dp=2 --sequence-parallel --zero 1",
        "tp=2,pp=2 --sequence-parallel",
        "cp=2,tp=2",
        "cp=2,tp=2 --sequence-parallel",
        "cp=2,ep=2",
        "ep=2,tp=2 --sequence-parallel",
        "dp=2,cp=2,ep=2 --zero 2",
        "cp=2,tp=2,ep=2",
        "ep=2 --sequence-parallel",
        "ep=4 --sequence-parallel",
        "dp=2,ep=2 --sequence-parallel --zero 3",
        "ep=2,pp=2 --sequence-parallel",
        "pp=2,ep=2,tp=2 --sequence-parallel");
  }

  @Tag("long")
  @Test
  void anyMeshKeepsTheBits() throws Exception {
    keepsTheBits(
        recipe(),
        "dp=2",
        "dp=3",
        "dp=3 --zero 2",
        "dp=2 --zero 3",
        "tp=2",
        "tp=4",
        "ep=4",
        "dp=2,ep=2",
        "ep=2,dp=3",
        "ep=2,tp=2",
        "dp=2,tp=2,ep=2",
        "dp=2,ep=2 --zero 1",
        "dp=2,ep=2 --zero 2",
        "dp=3,ep=2 --zero 2",
        "dp=2,ep=2 --zero 3",
        "dp=2,tp=2,ep=2 --zero 1",
        "pp=2",
        "dp=2,pp=2",
        "pp=2,ep=2",
        "tp=2,pp=2,ep=2",
        "dp=2,pp=2,ep=2");
  }

  @Tag("long")
  @Test
  void recomputationDropoutAndBfloat16KeepTheBits() throws Exception {
    Recipe recipe = recipe().withPrecision(Precision.BF16).withDropout(0.1f);
    TrainedRun alone = train(recipe, options("dp=1", Recompute.NONE));

    for (Recompute recompute : Recompute.values()) {
      for (String mesh : List.of("dp=2", "ep=2", "cp=2", "ep=2 --sequence-parallel")) {
        assertThat(train(recipe, options(mesh, recompute)))
            .as("--mesh %s, %s", mesh, recompute)
            .isEqualTo(alone);
      }
    }
  }

  @Test
  void aRunGoesOnUnderAnotherLayoutInTheMiddle() throws Exception {
    Recipe recipe = recipe().withSteps(4);
    TrainedRun alone = train(recipe, options("dp=1", Recompute.NONE));
    List<String> layouts = List.of("ep=2", "dp=2,tp=2 --zero 1", "cp=2", "dp=2,ep=2 --zero 3");
    Path checkpoint = directory.resolve("checkpoint");
    String hashes = "";
    try (Corpus corpus = TinyText.open(text)) {
      for (int part = 0; part < layouts.size(); part++) {
        int until = part + 1;
        TrainerOptions options = options(layouts.get(part), Recompute.NONE);
        hashes =
            InProcessRanks.run(
                    options.layout().places(),
                    job -> {
                      try (Trainer trainer =
                          until == 1
                              ? Trainer.start(job, recipe, corpus, options)
                              : Trainer.resume(job, SavedRun.open(checkpoint), corpus, options)) {
                        trainer.step(false);
                        assertThat(trainer.loss()).isEqualTo(alone.losses().get(until - 1));
                        trainer.save(checkpoint);
                        return trainer.weightsSha256() + trainer.optimizerSha256();
                      }
                    })
                .getFirst();
      }
    }
    assertThat(hashes).isEqualTo(alone.weights() + alone.optimizer());
  }

  /// Three experts, heads and blocks, where nothing is a power of two: the same programs, run by a
  /// device that computes in binary64. Tolerance as in [TenStepsTest].
  @ParameterizedTest(name = "--mesh {0}")
  @CsvSource({"dp=1", "dp=2", "ep=3", "tp=3"})
  void followsBinary64OnOddSizes(String mesh) throws Exception {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new MoeShape(1, 3, 27, 11, 3, 2, 95, 20, 7, 258, true))
            .withBlocks(new SumBlocks(3, 1))
            .withBatch(new BatchShape(2, 2, 2))
            .withSteps(5);
    TrainedRun expected = train(recipe, options("dp=1", Recompute.NONE).withDevice("reference"));

    TrainedRun found = train(recipe, options(mesh, Recompute.NONE));

    for (int step = 0; step < recipe.steps(); step++) {
      assertThat(found.losses().get(step)).isCloseTo(expected.losses().get(step), within(5e-5f));
    }
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource(
      delimiter = ';',
      value = {
        "ep=3; places of ep and tp do not divide the experts, which go to them whole: --mesh ep=3,"
            + " --experts 4",
        "tp=4,ep=2; whole: --mesh tp=4,ep=2, --experts 4 (choose a divisor)"
      })
  void aMeshThatDoesNotDivideTheExpertsIsRefused(String mesh, String sentence) {
    Layout layout = Layout.parse(mesh);
    assertThatThrownBy(() -> layout.check(recipe(), layout.places()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining(sentence);
  }

  @Test
  void aModelWithoutExpertsIsNotSpreadOverThem() {
    Recipe recipe = recipe().withModel(new GptShape(1, 2, 8, 4, 256, true));
    assertThatThrownBy(() -> Layout.parse("ep=2").check(recipe, 2))
        .hasMessageContaining("the model has no experts: --mesh ep=2, model gpt (leave ep out)");
  }
}
