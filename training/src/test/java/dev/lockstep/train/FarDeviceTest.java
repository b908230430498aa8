package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.MoeShape;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Training on devices whose memory the host cannot address: collectives pass through host memory,
/// and nothing else changes.
@Timeout(60)
class FarDeviceTest {
  private static final int STEPS = 2;

  /// Several buckets of so small a model.
  private static final long BUCKET_BYTES = 8 << 10;

  private static @Nullable Result trainedNear;

  @TempDir Path directory;

  private record Result(float loss, float norm, String weights, String optimizer) {}

  private static Recipe recipe() {
    return Recipe.defaults()
        .withModel(new GptShape(2, 4, 32, 12, 256, true))
        .withBatch(BatchShape.of(4, 2))
        .withSteps(STEPS);
  }

  private static Result train(Job job, Recipe recipe, Corpus corpus, Layout layout, String device) {
    TrainerOptions options =
        TrainerOptions.defaults()
            .withThreads(1)
            .withDevice(device)
            .withLayout(layout)
            .withBucketBytes(BUCKET_BYTES);
    try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
      while (trainer.stepsDone() < STEPS) {
        trainer.step(false);
      }
      return new Result(
          trainer.loss(),
          trainer.gradientNorm(),
          trainer.weightsSha256(),
          trainer.optimizerSha256());
    }
  }

  private Result train(int ranks, Layout layout, List<String> devices) throws Exception {
    return train(ranks, recipe(), layout, devices);
  }

  private Result train(int ranks, Recipe recipe, Layout layout, List<String> devices)
      throws Exception {
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      List<Result> results =
          InProcessRanks.run(
              ranks,
              job -> train(job, recipe, corpus, layout, devices.get(job.rank() % devices.size())));
      assertThat(results).containsOnly(results.getFirst());
      return results.getFirst();
    }
  }

  /// Returns what one rank on the CPU device ends in; trained once.
  private Result near() throws Exception {
    if (trainedNear == null) {
      trainedNear = train(1, layout("dp=1", 0), List.of("cpu"));
    }
    return trainedNear;
  }

  private static Layout layout(String mesh, int zero) {
    return Layout.parse(mesh).withZero(zero);
  }

  @ParameterizedTest(name = "--mesh {1} --zero {2}")
  @CsvSource({
    "1, 'dp=1', 0",
    "2, 'dp=2', 1",
    "3, 'dp=3', 3",
    "4, 'dp=2,pp=2', 2",
    "4, 'dp=2,tp=2', 0"
  })
  void endsInTheBitsOfTheSameDeviceNearby(int ranks, String mesh, int zero) throws Exception {
    assertThat(train(ranks, layout(mesh, zero), List.of("far"))).isEqualTo(near());
  }

  /// What is done among them is done among more above.
  @Tag("long")
  @ParameterizedTest(name = "--mesh {1} --zero {2}")
  @CsvSource({"2, 'dp=2', 0", "2, 'dp=2', 2", "2, 'tp=2', 0", "2, 'pp=2', 0"})
  void endsInItAmongFewerRanksToo(int ranks, String mesh, int zero) throws Exception {
    assertThat(train(ranks, layout(mesh, zero), List.of("far"))).isEqualTo(near());
  }

  @Test
  void expertsOnTwoFarDevicesEndInTheBitsOfOneNearby() throws Exception {
    Recipe recipe = recipe().withModel(new MoeShape(1, 4, 32, 24, 4, 2, 110, 10, 12, 256, true));
    Result near = train(1, recipe, layout("dp=1", 0), List.of("cpu"));
    assertThat(train(2, recipe, layout("ep=2", 0), List.of("far"))).isEqualTo(near);
  }

  @ParameterizedTest(name = "--zero {0}")
  @CsvSource({"1", "2", "3"})
  void ranksOfTwoKindsTrainOneModel(int zero) throws Exception {
    assertThat(train(2, layout("dp=2", zero), List.of("cpu", "far"))).isEqualTo(near());
  }

  /// Each kind would update replicas in its own bits, and they would drift apart.
  @Test
  void replicasOnTwoKindsAreRefused() {
    assertThatThrownBy(() -> train(2, layout("dp=2", 0), List.of("cpu", "far")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("rank=0 device=cpu")
        .hasMessageContaining("rank=1 device=far")
        .hasMessageContaining("--zero 1");
  }

  /// A device that keeps no order of sums gives a product's parts other bits than the whole.
  @Test
  void lanesAreSpreadWithTheSameBitsOnlyOverExactDevices() throws Exception {
    Recipe recipe = recipe().withBlocks(new SumBlocks(4, 2));
    for (String mesh : List.of("tp=2", "cp=2")) {
      assertThatThrownBy(() -> train(2, recipe, layout(mesh, 0), List.of("loose")))
          .isInstanceOf(ConfigurationException.class)
          .hasMessageContaining("--mesh " + mesh + ", rank=0 device=loose")
          .hasMessageContaining("--relaxed");
    }
    Recipe relaxed = recipe().withSameBits(false);
    assertThat(train(2, relaxed, layout("tp=2", 0), List.of("loose")).weights()).isNotEmpty();
    assertThat(train(2, layout("dp=2", 1), List.of("loose")).weights()).isNotEmpty();
  }

  @Test
  void kindsShareAnUpdateWithTheSameBitsOnlyIfTheyAreExact() throws Exception {
    assertThatThrownBy(() -> train(2, layout("dp=2", 1), List.of("cpu", "loose")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("rank=0 device=cpu, rank=1 device=loose")
        .hasMessageContaining("--relaxed");
    Recipe relaxed = recipe().withSameBits(false);
    assertThat(train(2, relaxed, layout("dp=2", 1), List.of("cpu", "loose")).weights())
        .isNotEmpty();
  }

  @Test
  void aTrainerThatCannotStartLeavesNothing() throws Exception {
    TrainerOptions options = TrainerOptions.defaults().withThreads(1).withDevice("broken");
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      InProcessRanks.run(
          1,
          job -> {
            assertThatThrownBy(() -> Trainer.start(job, recipe(), corpus, options).close())
                .hasMessageContaining("nothing can be copied");
            assertThat(job.memory().usedBytes()).isZero();
            return 0;
          });
    }
  }
}
