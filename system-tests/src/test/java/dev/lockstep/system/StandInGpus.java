package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.cuda.StandIns;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.train.Layout;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.ModelShape;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.ObjLongConsumer;

/// Training on the CUDA device with the stand-ins for its libraries, with ranks as threads.
final class StandInGpus {
  static final int STEPS = 2;

  private static final String NCCL = "lockstep.libnccl";
  private static final String[] PROPERTIES = {
    "lockstep.libcuda", "lockstep.libnvrtc", "lockstep.libcublaslt", "lockstep.cubins", NCCL
  };

  private StandInGpus() {}

  /// What a run ends with; the same on every rank.
  record Result(List<Float> losses, String weights) {}

  /// Lets the device find the stand-ins, and no NCCL.
  static void take() {
    StandIns.assumeCompiler();
    System.setProperty("lockstep.libcuda", StandIns.cuda().toString());
    System.setProperty("lockstep.libnvrtc", StandIns.nvrtc().toString());
    System.setProperty("lockstep.libcublaslt", "none");
    System.setProperty("lockstep.cubins", StandIns.cache().toString());
    System.setProperty(NCCL, "none");
  }

  /// Lets the device find the stand-in for NCCL too.
  static void takeNccl() {
    System.setProperty(NCCL, StandIns.nccl().toString());
  }

  /// Lets the device find libraries that do nothing.
  static void takeIdle() {
    StandIns.assumeCompiler();
    for (String library :
        List.of("lockstep.libcuda", "lockstep.libnvrtc", "lockstep.libcublaslt")) {
      System.setProperty(library, StandIns.idle().toString());
    }
    System.setProperty("lockstep.cubins", StandIns.idleCache().toString());
    System.setProperty(NCCL, "none");
  }

  /// Lets the device find what the machine has.
  static void leave() {
    for (String property : PROPERTIES) {
      System.clearProperty(property);
    }
  }

  static Recipe recipe(ModelShape model, int lanes) {
    return Recipe.defaults().withModel(model).withBatch(BatchShape.of(lanes, 2)).withSteps(STEPS);
  }

  static Recipe gpt(int lanes) {
    return recipe(new GptShape(1, 2, 16, 12, 256, true), lanes);
  }

  /// Trains on one rank for each device; all end with the same.
  static Result train(Path folder, Recipe recipe, Layout layout, String... devices)
      throws Exception {
    List<Result> results = train(folder, recipe, layout, (_, _) -> {}, devices);
    assertThat(results).containsOnly(results.getFirst());
    return results.getFirst();
  }

  /// Trains on one rank for each device, and throws what the first of them does that fails.
  ///
  /// @param before called on each rank before each step, with the number of the step
  static List<Result> train(
      Path folder, Recipe recipe, Layout layout, ObjLongConsumer<Job> before, String... devices)
      throws Exception {
    TinyJob text = new TinyJob(folder);
    List<Result> results = new ArrayList<>();
    try (Corpus corpus =
            Corpus.open(DataOptions.of(text.text(), text.cache()), CorpusListener.SILENT);
        ExecutorService threads = Executors.newFixedThreadPool(devices.length)) {
      List<Future<Result>> ranks = new ArrayList<>();
      for (Job job : Job.inProcess(devices.length, JobConfig.of(Map.of()))) {
        TrainerOptions options =
            TrainerOptions.defaults()
                .withDevice(devices[job.rank()])
                .withLayout(layout)
                .withThreads(1);
        ranks.add(threads.submit(() -> train(job, recipe, corpus, options, before)));
      }
      for (Future<Result> rank : ranks) {
        try {
          results.add(rank.get());
        } catch (ExecutionException failed) {
          if (failed.getCause() instanceof Exception cause) {
            throw cause;
          }
          throw failed;
        }
      }
    }
    return results;
  }

  private static Result train(
      Job job, Recipe recipe, Corpus corpus, TrainerOptions options, ObjLongConsumer<Job> before) {
    try (job) {
      try (Trainer trainer = Trainer.start(job, recipe, corpus, options)) {
        List<Float> losses = new ArrayList<>();
        while (trainer.stepsDone() < STEPS) {
          before.accept(job, trainer.stepsDone());
          trainer.step(false);
          losses.add(trainer.loss());
        }
        return new Result(losses, trainer.weightsSha256());
      } catch (RuntimeException | Error failure) {
        job.fail(failure, "");
        throw failure;
      }
    }
  }
}
