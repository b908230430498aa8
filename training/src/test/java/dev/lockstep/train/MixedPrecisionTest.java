package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lockstep.device.Program;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.train.checkpoint.Safetensors;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Precision;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(120)
class MixedPrecisionTest {
  private static final int STEPS = 4;
  private static final Recipe RECIPE =
      Recipe.defaults()
          .withModel(new GptShape(1, 2, 32, 12, 256, true))
          .withBatch(Recipe.BatchShape.of(5, 2))
          .withSteps(STEPS)
          .withPrecision(Precision.BF16);

  @TempDir Path folder;

  private record Result(List<Float> losses, String weights, String optimizer) {}

  private record Layout(int ranks, int threads, int vectorBits, Recompute recompute) {}

  private static Result train(Recipe recipe, Layout layout, Corpus corpus) throws Exception {
    return train(recipe, layout, corpus, null, null);
  }

  private static Result train(
      Recipe recipe, Layout layout, Corpus corpus, @Nullable Path resumed, @Nullable Path saved)
      throws Exception {
    TrainerOptions options =
        TrainerOptions.defaults()
            .withThreads(layout.threads)
            .withVectorBits(layout.vectorBits)
            .withRecompute(layout.recompute)
            .withTransport(layout.ranks > 1 ? "in-process" : "");
    List<Result> results =
        InProcessRanks.run(
            layout.ranks,
            job -> {
              try (Trainer trainer =
                  resumed == null
                      ? Trainer.start(job, recipe, corpus, options)
                      : Trainer.resume(job, SavedRun.open(resumed), corpus, options)) {
                List<Float> losses = new ArrayList<>();
                while (trainer.stepsDone() < trainer.recipe().steps()
                    && (saved == null || trainer.stepsDone() < STEPS / 2)) {
                  trainer.step(false);
                  losses.add(trainer.loss());
                }
                if (saved != null) {
                  trainer.save(saved);
                }
                return new Result(losses, trainer.weightsSha256(), trainer.optimizerSha256());
              }
            });
    assertThat(results).containsOnly(results.getFirst());
    return results.getFirst();
  }

  @Test
  void everyLayoutEndsInTheSameBitsAlsoAcrossAResume() throws Exception {
    try (Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")))) {
      Result alone = train(RECIPE, new Layout(1, 1, 0, Recompute.NONE), corpus);
      for (Layout layout :
          List.of(
              new Layout(1, 2, 64, Recompute.ATTENTION),
              new Layout(2, 2, 0, Recompute.BLOCK),
              new Layout(4, 1, 0, Recompute.NONE))) {
        assertThat(train(RECIPE, layout, corpus)).as("%s", layout).isEqualTo(alone);
      }
      Path cut = folder.resolve("cut");
      train(RECIPE, new Layout(2, 1, 0, Recompute.NONE), corpus, null, cut);
      assertThat(SavedRun.open(cut).recipe().precision()).isEqualTo(Precision.BF16);
      try (Safetensors weights = Safetensors.open(cut.resolve("model.safetensors"))) {
        assertThat(weights.tensors().values()).allMatch(data -> data.dtype() == DType.F32);
      }
      Result rest = train(RECIPE, new Layout(3, 1, 0, Recompute.NONE), corpus, cut, null);
      assertThat(rest.weights).isEqualTo(alone.weights);
      assertThat(rest.optimizer).isEqualTo(alone.optimizer);
      assertThat(rest.losses).isEqualTo(alone.losses.subList(STEPS / 2, STEPS));
    }
  }

  @Test
  void learnsAsInFloat32ButNotTheSameBits() throws Exception {
    Recipe longer = RECIPE.withSteps(16);
    Layout layout = new Layout(1, 2, 0, Recompute.NONE);
    try (Corpus corpus = TinyText.open(TinyText.write(folder.resolve("text")))) {
      Result narrow = train(longer, layout, corpus);
      Result wide = train(longer.withPrecision(Precision.F32), layout, corpus);
      for (int step = 0; step < wide.losses.size(); step++) {
        float loss = wide.losses.get(step);
        assertThat(narrow.losses.get(step)).isCloseTo(loss, within(0.01f * loss));
      }
      assertThat(wide.losses.getLast()).isLessThan(wide.losses.getFirst() * 0.9f);
      assertThat(narrow.weights).isNotEqualTo(wide.weights);
    }
  }

  private static Program lane(StepPlan plan) {
    return Objects.requireNonNull(plan.programs().get("lanes")).getFirst();
  }

  private static long arena(Precision precision) {
    Recipe recipe =
        RECIPE.withModel(new GptShape(6, 2, 32, 48, 256, true)).withPrecision(precision);
    try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan plan = new StepPlan(pool, recipe, TrainerOptions.defaults(), 1)) {
      return lane(plan).arenaBytes();
    }
  }

  @Test
  void keepsFewerBytesForTheWayBack() {
    assertThat(arena(Precision.BF16)).isLessThan(arena(Precision.F32) * 9 / 10);
  }

  @Test
  void everyProductWithAWeightTakesRoundedOperands() {
    try (MemoryPool pool = MemoryPool.root("plan", 1L << 32);
        StepPlan plan = new StepPlan(pool, RECIPE, TrainerOptions.defaults(), 1)) {
      Graph graph = lane(plan).graph();
      Map<Value, Node> makers = new HashMap<>();
      graph.nodes().forEach(node -> node.outputs().forEach(v -> makers.put(v, node)));
      List<Node> products =
          graph.nodes().stream()
              .filter(n -> n.op() instanceof Primitive.MatMul || n.op() instanceof Composite.Linear)
              .toList();
      // Four layers of a block and the head forward, two products each on the way back.
      assertThat(products).hasSize(3 * (4 * RECIPE.model().layers() + 1));
      long rounded =
          products.stream()
              .flatMap(node -> node.inputs().stream().limit(2))
              .filter(operand -> isRounded(operand, makers))
              .count();
      assertThat(rounded).isEqualTo(2L * products.size());
    }
  }

  private static boolean isRounded(Value operand, Map<Value, Node> makers) {
    Node maker = makers.get(operand);
    if (maker != null && maker.op() instanceof Primitive.Reshape) {
      return isRounded(maker.inputs().getFirst(), makers);
    }
    return maker != null
        && maker.op() instanceof Primitive.Convert
        && maker.inputs().getFirst().type().dtype() == DType.BF16;
  }

  @Test
  void anUnknownPrecisionIsNamedWithTheKnownOnes() {
    assertThatThrownBy(() -> Precision.of("fp4"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--precision fp4")
        .hasMessageContaining("f32, bf16");
  }
}
