package dev.lockstep.device.neuron;

import dev.lockstep.device.neuron.ffi.NrtLibraries;
import dev.lockstep.job.Job;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// One rank of a small GPT job as a process of its own, on a stand-in of its own: prints the core
/// that it took, then its losses.
final class RankProcess {
  static final int STEPS = 2;

  private RankProcess() {}

  /// Joins the job that its environment tells of.
  ///
  /// @param arguments folder of text, folder of its cache
  public static void main(String[] arguments) {
    try (Job job = Job.join()) {
      try {
        List<Double> losses =
            losses(
                job,
                StandInProvider.ByHost.NAME,
                Path.of(arguments[0]),
                Path.of(arguments[1]),
                () -> System.out.println("core=" + NrtLibraries.variable(StandIn.VISIBLE_CORES)));
        System.out.println("losses=" + losses);
      } catch (RuntimeException | Error failure) {
        job.fail(failure, "");
        throw failure;
      }
    }
  }

  /// Trains.
  ///
  /// @param opened called when the device is open
  static List<Double> losses(Job job, String device, Path text, Path cache, Runnable opened) {
    Recipe recipe =
        Recipe.defaults()
            .withModel(new GptShape(1, 2, 8, 8, 256, true))
            .withBatch(BatchShape.of(2, 2))
            .withSteps(STEPS);
    TrainerOptions options = TrainerOptions.defaults().withThreads(1).withDevice(device);
    try (Corpus corpus = Corpus.open(DataOptions.of(text, cache), CorpusListener.SILENT);
        Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
      opened.run();
      List<Double> losses = new ArrayList<>();
      for (int step = 0; step < STEPS; step++) {
        trainer.step(false);
        losses.add((double) trainer.loss());
      }
      return losses;
    }
  }
}
