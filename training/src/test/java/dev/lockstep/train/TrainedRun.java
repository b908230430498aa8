package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.train.data.Corpus;
import java.util.ArrayList;
import java.util.List;

/// What a run ends in, and no layout may change.
///
/// @param losses of each step
/// @param weights SHA-256
/// @param optimizer SHA-256
/// @param validation held-out loss after the last step
record TrainedRun(List<Float> losses, String weights, String optimizer, float validation) {
  /// Takes all steps of a recipe with ranks as threads, which all end alike.
  static TrainedRun of(Recipe recipe, Corpus corpus, int ranks, TrainerOptions options)
      throws Exception {
    List<TrainedRun> runs =
        InProcessRanks.run(
            ranks,
            job -> {
              try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
                List<Float> losses = new ArrayList<>();
                while (trainer.stepsDone() < recipe.steps()) {
                  trainer.step(false);
                  losses.add(trainer.loss());
                }
                float validation = trainer.evaluate();
                return new TrainedRun(
                    losses, trainer.weightsSha256(), trainer.optimizerSha256(), validation);
              }
            });
    assertThat(runs).as("ranks of %s", options).containsOnly(runs.getFirst());
    return runs.getFirst();
  }
}
