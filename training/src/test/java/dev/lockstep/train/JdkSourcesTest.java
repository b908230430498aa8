package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/// Tiny models of other families than the main job's learn this JDK's own sources, alike on every
/// mesh.
@Tag("long")
@Timeout(240)
class JdkSourcesTest {
  private static final int STEPS = 20;
  private static final List<String> MESHES =
      List.of("dp=2", "dp=3", "tp=2", "pp=2", "dp=2,tp=2", "dp=2 --zero 3", "cp=2");

  static Stream<Arguments> families() {
    return Stream.of(
        Arguments.of(new LlamaShape(2, 4, 2, 32, 64, 16, 256, false, 10_000, 1e-5f), List.of()),
        Arguments.of(new MoeShape(2, 4, 32, 32, 4, 2, 125, 10, 16, 256, true), List.of("ep=2")));
  }

  private static Layout layout(String mesh) {
    String[] words = mesh.split(" --zero ", -1);
    return Layout.parse(words[0]).withZero(words.length > 1 ? Integer.parseInt(words[1]) : 0);
  }

  /// Blocks of tokens are part of the recipe, so that positions can be shared out.
  @ParameterizedTest(name = "{0}")
  @MethodSource("families")
  void everyMeshLearnsAlike(ModelShape shape, List<String> more) throws Exception {
    Path sources = Path.of(System.getProperty("java.home"), "lib", "src.zip");
    assumeTrue(
        Files.exists(sources),
        "judge jdk-sources: this JDK has no sources to train on: " + sources);
    Recipe recipe =
        Recipe.defaults()
            .withModel(shape)
            .withBlocks(new SumBlocks(4, 2))
            .withBatch(new BatchShape(4, 2, 4))
            .withSteps(STEPS);
    TrainerOptions options = TrainerOptions.defaults().withThreads(1);
    List<String> meshes = new ArrayList<>(MESHES);
    meshes.addAll(more);
    try (Corpus corpus =
        Corpus.open(DataOptions.jdkSources(DataOptions.defaultCache()), CorpusListener.SILENT)) {
      TrainedRun alone = TrainedRun.of(recipe, corpus, 1, options);
      assertThat(alone.losses()).hasSize(STEPS);
      assertThat(alone.losses().getLast()).isLessThan(alone.losses().getFirst() - 0.5f);
      for (String mesh : meshes) {
        Layout layout = layout(mesh);
        assertThat(TrainedRun.of(recipe, corpus, layout.places(), options.withLayout(layout)))
            .as("--mesh %s", mesh)
            .isEqualTo(alone);
      }
      System.out.printf(
          "%s learns the JDK's sources alike on %d meshes: loss %.3f, then %.3f, %.3f held out%n",
          shape.family(),
          meshes.size(),
          alone.losses().getFirst(),
          alone.losses().getLast(),
          alone.validation());
    }
  }
}
