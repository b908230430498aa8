package dev.lockstep.train;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.Primitive;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LanguageModel;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.parallel.Exchange;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// The hash sees everything: one bit of one gradient, or of what one expert gave, on one rank makes
/// another result.
@Timeout(60)
class FlippedBitTest {
  // AdamW's first step is as long whatever the gradient: a wrong one shows in the second.
  private static final int STEPS = 2;

  private static final Recipe RECIPE =
      Recipe.defaults()
          .withModel(new GptShape(1, 2, 16, 12, 256, true))
          .withBatch(BatchShape.of(2, 2))
          .withSteps(STEPS);

  private static final Recipe EXPERTS =
      RECIPE.withModel(new MoeShape(1, 2, 16, 24, 4, 2, 110, 10, 12, 256, true));

  private static final int HIGHEST_OF_MANTISSA = 1 << 22;
  private static final float LARGE = 1e-3f;

  @TempDir Path directory;

  /// Flips a bit of the first contribution when it is about to be reduced for the first time.
  private static final class Flipping extends ForwardingExchange {
    private boolean flipped;

    Flipping(Exchange exchange) {
      super(exchange);
    }

    @Override
    public Prepared prepare(Primitive op, List<Tensor> inputs, Tensor output) {
      Prepared prepared = exchange.prepare(op, inputs, output);
      MemorySegment contribution = inputs.getFirst().registration().segment();
      return new Prepared() {
        @Override
        public void run() {
          if (!flipped) {
            flip(contribution);
            flipped = true;
          }
          prepared.run();
        }

        @Override
        public void close() {
          prepared.close();
        }
      };
    }
  }

  /// Flips a bit of the first number that is not almost zero, as the gradient of a rare token's
  /// embedding is.
  private static void flip(MemorySegment numbers) {
    long offset = 0;
    while (Math.abs(numbers.get(JAVA_FLOAT, offset)) < LARGE) {
      offset += Float.BYTES;
    }
    int old = numbers.get(JAVA_INT, offset);
    numbers.set(JAVA_INT, offset, old ^ HIGHEST_OF_MANTISSA);
  }

  /// Trains on this rank as a trainer does, and returns the hash of the weights.
  private static String train(Job job, Recipe recipe, Layout layout, Corpus corpus, boolean flips) {
    TrainerOptions options = TrainerOptions.defaults().withThreads(1).withLayout(layout);
    LanguageModel model = recipe.model().model(recipe.blocks().tensor());
    ModelPrograms programs = new ModelPrograms(model, recipe.blocks().tokens());
    BatchShape batch = recipe.batch();
    Batches batches =
        new Batches(
            corpus, recipe.seed(), batch.lanes(), batch.microBatch(), recipe.model().context());
    try (Scope scope = new Scope()) {
      JobExchange exchange = JobExchange.open(scope, job, recipe, options);
      Exchange used = flips && job.rank() == 1 ? new Flipping(exchange) : exchange;
      RankCompute compute = RankCompute.open(scope, options, job, exchange.place().with(used));
      ModelState parameters =
          ModelState.parameters(compute, List.of(HeldParameters.all(model.parameters())));
      ModelState moments =
          ModelState.moments(compute, List.of(HeldParameters.all(model.parameters())));
      parameters.initialize(recipe.seed());
      GradientReduction reduction =
          GradientReduction.plan(compute, recipe, programs, options.bucketBytes());
      TrainedState state = new TrainedState(parameters, moments);
      StepPrograms steps = new StepPrograms(compute, recipe, reduction, state, batches);
      for (int step = 0; step < STEPS; step++) {
        steps.run(step, recipe.learningRate().at(step + 1, STEPS), false);
      }
      return parameters.sha256();
    }
  }

  @Test
  void oneFlippedBitOfOneGradientChangesTheHashOnEveryRank() throws Exception {
    oneFlippedBitChangesTheHash(RECIPE, Layout.dataParallel());
  }

  @Test
  void oneFlippedBitOfWhatOneExpertGaveChangesTheHashOnEveryRank() throws Exception {
    oneFlippedBitChangesTheHash(EXPERTS, Layout.parse("ep=2"));
  }

  private void oneFlippedBitChangesTheHash(Recipe recipe, Layout layout) throws Exception {
    try (Corpus corpus = TinyText.open(TinyText.write(directory.resolve("text")))) {
      List<String> right = InProcessRanks.run(2, job -> train(job, recipe, layout, corpus, false));
      List<String> wrong = InProcessRanks.run(2, job -> train(job, recipe, layout, corpus, true));
      List<String> trainer =
          InProcessRanks.run(
              2,
              job -> {
                TrainerOptions options =
                    TrainerOptions.defaults().withThreads(1).withLayout(layout);
                try (Trainer whole = Trainer.start(job, recipe, corpus, options)) {
                  whole.train(TrainingRun.stepsOnly());
                  return whole.weightsSha256();
                }
              });

      assertThat(right).isEqualTo(trainer).containsOnly(right.getFirst());
      assertThat(wrong).containsOnly(wrong.getFirst()).doesNotContain(right.getFirst());
    }
  }
}
