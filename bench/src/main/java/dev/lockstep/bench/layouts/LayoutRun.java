package dev.lockstep.bench.layouts;

import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.train.Layout;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.SavedRun;
import dev.lockstep.train.Trainer;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusListener;
import dev.lockstep.train.data.DataOptions;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.MlpShape;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.MoeShape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/// Trains one small recipe under layouts, ranks as threads of this JVM.
public final class LayoutRun implements AutoCloseable {
  private static final int TEXT_BYTES = 20_000;

  private final Recipe recipe;
  private final Path folder;
  private final Corpus corpus;

  /// What a run ended in.
  ///
  /// @param losses mean loss of each step
  /// @param weights hash of the weights
  /// @param optimizer hash of the optimizer's state
  public record Result(List<Float> losses, String weights, String optimizer) {
    /// Copies the list.
    public Result {
      losses = List.copyOf(losses);
    }

    /// Returns what differs from another result, in words; empty if nothing does.
    public String differences(Result other) {
      List<String> found = new ArrayList<>();
      if (!losses.equals(other.losses)) {
        found.add("losses differ");
      }
      if (!weights.equals(other.weights)) {
        found.add("weights differ");
      }
      if (!optimizer.equals(other.optimizer)) {
        found.add("optimizer state differs");
      }
      return String.join(", ", found);
    }
  }

  /// Prepares the recipe's text.
  ///
  /// @param folder empty; for text and checkpoints
  /// @param model family of the model
  /// @throws IOException if the folder cannot be written
  /// @throws dev.lockstep.failure.ConfigurationException if there is no such family
  public LayoutRun(Path folder, String model) throws IOException {
    this.folder = folder;
    this.recipe =
        Recipe.defaults()
            .withModel(small(model))
            .withBatch(new Recipe.BatchShape(5, 2, 5))
            .withBlocks(new Recipe.SumBlocks(4, 4))
            .withSteps(4);
    Path text = Files.createDirectories(folder.resolve("text"));
    StringBuilder content = new StringBuilder();
    for (int i = 0; content.length() < TEXT_BYTES; i++) {
      content.append("value ").append(i * i % 997).append(i % 7 == 0 ? ";\n" : " and ");
    }
    Files.writeString(text.resolve("text.txt"), content);
    corpus = Corpus.open(DataOptions.of(text, folder.resolve("cache")), CorpusListener.SILENT);
  }

  /// Four layers, four heads, four tensor and four token blocks: what the meshes divide.
  private static ModelShape small(String model) {
    int context = 12;
    return switch (ModelShape.defaults(model)) {
      case GptShape _ -> new GptShape(4, 4, 32, context, 256, true);
      case LlamaShape _ -> LlamaShape.of(4, 4, 4, 32, 48, context);
      case MlpShape _ -> new MlpShape(4, 32, 64, 4, context, 256, true);
      case MoeShape _ -> new MoeShape(4, 4, 32, 48, 4, 2, 110, 10, context, 256, true);
    };
  }

  /// Returns the recipe.
  public Recipe recipe() {
    return recipe;
  }

  /// Trains under a layout.
  ///
  /// @return what every rank ended in
  /// @throws IllegalStateException if ranks ended in different results
  /// @throws Exception if a rank failed
  public Result train(LayoutCase layouts) throws Exception {
    Path checkpoint = folder.resolve("checkpoint");
    List<Float> losses = new ArrayList<>();
    Result last = new Result(List.of(), "", "");
    int parts = layouts.parts().size();
    for (int part = 0; part < parts; part++) {
      Layout layout = layouts.parts().get(part);
      boolean isFirst = part == 0;
      int until = recipe.steps() * (part + 1) / parts;
      List<Result> results =
          onRanks(layout.places(), job -> part(job, layouts, layout, isFirst, until, checkpoint));
      last = results.getFirst();
      for (Result other : results) {
        if (!other.equals(last)) {
          throw new IllegalStateException(
              "ranks end in different results: layout=%s, %s"
                  .formatted(layouts.words(), other.differences(last)));
        }
      }
      losses.addAll(last.losses);
    }
    return new Result(losses, last.weights, last.optimizer);
  }

  private Result part(
      Job job, LayoutCase layouts, Layout layout, boolean isFirst, int until, Path checkpoint) {
    var options = layouts.options(layout);
    try (Trainer trainer =
        isFirst
            ? Trainer.start(job, recipe, corpus, options)
            : Trainer.resume(job, SavedRun.open(checkpoint), corpus, options)) {
      List<Float> losses = new ArrayList<>();
      while (trainer.stepsDone() < until) {
        trainer.step(false);
        losses.add(trainer.loss());
      }
      if (until < recipe.steps()) {
        trainer.save(checkpoint);
      }
      return new Result(losses, trainer.weightsSha256(), trainer.optimizerSha256());
    }
  }

  private interface RankWork {
    Result run(Job job);
  }

  private static List<Result> onRanks(int ranks, RankWork work) throws Exception {
    List<Job> jobs = Job.inProcess(ranks, JobConfig.of(Map.of()));
    try (ExecutorService threads = Executors.newFixedThreadPool(ranks)) {
      List<Future<Result>> futures = new ArrayList<>();
      for (Job job : jobs) {
        futures.add(threads.submit(() -> onRank(job, work)));
      }
      List<Result> results = new ArrayList<>();
      for (Future<Result> future : futures) {
        results.add(future.get());
      }
      return results;
    } catch (ExecutionException failed) {
      throw failed.getCause() instanceof Exception cause ? cause : failed;
    }
  }

  private static Result onRank(Job job, RankWork work) {
    try (job) {
      try {
        return work.run(job);
      } catch (RuntimeException | Error failure) {
        job.fail(failure, "");
        throw failure;
      }
    }
  }

  /// Closes the text; the folder stays.
  @Override
  public void close() {
    corpus.close();
  }
}
