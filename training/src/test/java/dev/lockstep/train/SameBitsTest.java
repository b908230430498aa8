package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// One recipe, many layouts, one result: weights, optimizer state and the loss of every step are
/// the same bits.
@Timeout(120)
class SameBitsTest {
  private static final int STEPS = 3;

  @TempDir Path directory;

  private record Result(List<Float> losses, String weights, String optimizer) {}

  private record Layout(int ranks, String transport, int threads, int vectorBits) {}

  private static Recipe recipe(int lanes) {
    return Recipe.defaults()
        .withModel(new GptShape(2, 2, 32, 12, 256, true))
        .withBatch(BatchShape.of(lanes, 2))
        .withSteps(STEPS);
  }

  private Result train(Recipe recipe, Layout layout, Corpus corpus) throws Exception {
    TrainerOptions options =
        TrainerOptions.defaults()
            .withThreads(layout.threads)
            .withVectorBits(layout.vectorBits)
            .withTransport(layout.transport);
    List<Result> results =
        InProcessRanks.run(
            layout.ranks,
            job -> {
              try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
                List<Float> losses = new ArrayList<>();
                while (trainer.stepsDone() < STEPS) {
                  trainer.step(false);
                  losses.add(trainer.loss());
                }
                if (layout.ranks > 1) {
                  var counters = trainer.transportCounters();
                  assertThat(counters.bytesSent() + counters.bytesOpenedInPlace())
                      .as("bytes over the transport: %s", layout)
                      .isPositive();
                }
                return new Result(losses, trainer.weightsSha256(), trainer.optimizerSha256());
              }
            });
    assertThat(results).as("results of the ranks of %s", layout).containsOnly(results.getFirst());
    return results.getFirst();
  }

  /// Each number of ranks, transport and number of threads, with the vectors of this machine and
  /// the narrowest: code for every other width takes seconds to compile.
  private static List<Layout> someLayouts() {
    return List.of(
        new Layout(1, "", 2, 64),
        new Layout(2, "unsteady-peers", 1, 0),
        new Layout(2, "shm", 2, 0),
        new Layout(3, "shm", 1, 64),
        new Layout(4, "in-process", 2, 0));
  }

  private static List<Layout> moreLayouts() {
    return List.of(
        new Layout(1, "", 1, 64),
        new Layout(1, "", 2, 128),
        new Layout(1, "", 2, 256),
        new Layout(1, "", 1, 512),
        new Layout(3, "shm", 1, 256),
        new Layout(4, "shm", 1, 64),
        new Layout(4, "in-process", 2, 512));
  }

  private Result endsInTheSameBits(int lanes, List<Layout> layouts) throws Exception {
    try (Corpus corpus = open()) {
      Result alone = train(recipe(lanes), new Layout(1, "", 1, 0), corpus);
      for (Layout layout : layouts) {
        assertThat(train(recipe(lanes), layout, corpus))
            .as("lanes=%d, %s", lanes, layout)
            .isEqualTo(alone);
      }
      return alone;
    }
  }

  @Test
  void layoutsEndInTheSameBits() throws Exception {
    Result four = endsInTheSameBits(4, someLayouts());
    List<Layout> uneven = List.of(new Layout(3, "unsteady-peers", 1, 0));
    assertThat(endsInTheSameBits(5, uneven)).isNotEqualTo(four);
  }

  @Tag("long")
  @ParameterizedTest(name = "lanes={0}")
  @ValueSource(ints = {4, 5})
  void layoutsOfEveryVectorWidthEndInTheSameBits(int lanes) throws Exception {
    assertThat(endsInTheSameBits(lanes, moreLayouts()).losses()).hasSize(STEPS);
  }

  @Test
  void anotherSeedIsAnotherResult() throws Exception {
    try (Corpus corpus = open()) {
      Layout layout = new Layout(2, "in-process", 1, 0);
      Result one = train(recipe(4), layout, corpus);
      assertThat(train(recipe(4).withSeed(99), layout, corpus)).isNotEqualTo(one);
    }
  }

  private Corpus open() throws IOException {
    return TinyText.open(TinyText.write(directory.resolve("text")));
  }
}
