package dev.lockstep.train;

import dev.lockstep.device.Stream;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.data.CorpusReader;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatRange;
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.HostScalar;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.SplitProgram;
import dev.lockstep.train.pipeline.ChunkPrograms;
import dev.lockstep.train.pipeline.PipelineLanes;
import dev.lockstep.train.pipeline.PipelinePlan;
import dev.lockstep.train.pipeline.StageChunks;
import dev.lockstep.train.pipeline.StageLanes;
import dev.lockstep.train.pipeline.StagePrograms;
import dev.lockstep.train.pipeline.StageSums;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/// The mean loss over fixed held-out windows, evenly spread over the held-out text. Batches of them
/// are leaves of a tree of their own and spread over the ranks as lanes are, so that the result has
/// the same bits on any layout.
final class Evaluator {
  private final RankCompute compute;
  private final CorpusReader reader;
  private final Recipe recipe;
  private final long firstToken;
  private final long starts;
  private final DataInput input;
  private final Batches batches;
  private final SplitProgram.Bound mean;
  private final HostScalar loss;
  private final int idleRounds;
  private final Runnable idle;

  /// Runs all batches.
  private interface Batches {
    void run(Stream stream, IntConsumer fill);
  }

  /// Compiles the programs.
  ///
  /// @param stages how layers are spread over ranks; null if they are not
  /// @param parameters the model's parameters; borrowed
  /// @throws ConfigurationException if the held-out text is shorter than one window
  Evaluator(
      RankCompute compute,
      Recipe recipe,
      ModelPrograms programs,
      @Nullable Stages stages,
      ModelState parameters,
      Corpus corpus) {
    this.compute = compute;
    this.recipe = recipe;
    int context = recipe.model().context();
    int sequences = recipe.batch().microBatch();
    requireWindow(corpus, context);
    reader = corpus.newReader();
    firstToken = corpus.trainTokens();
    starts = corpus.validationTokens() - context;
    LaneSplit split = LaneSplit.contiguous(recipe.batch().validationBatches(), compute.ranks());
    LanePlan plan = LanePlan.of(split.ranks().get(compute.rank()));
    int most = split.ranks().stream().mapToInt(Evaluator::lanes).max().orElse(0);
    Map<String, Shape> sums = new LinkedHashMap<>();
    sums.put(ModelPrograms.LOSS_SUM, Shape.scalar());
    sums.put(ModelPrograms.COUNT, Shape.scalar());
    input = new DataInput(compute, sequences, context);
    FlatTensors result =
        compute.allocate("evaluation", FlatLayout.of(Map.of(StepGraph.LOSS, Shape.scalar())));
    Map<String, Tensor> bindings = new HashMap<>(result.byName());
    Graph meanLoss;
    if (stages == null) {
      ModelPrograms.Traced traced = programs.evaluation(sequences);
      Graph graph = compute.grid().lay(traced);
      LaneRunner runner;
      if (compute.grid().isGathered()) {
        GatheredProgram program = GatheredProgram.of(compute, graph, traced.uses(), parameters);
        runner = program;
        idleRounds = most - lanes(split.ranks().get(compute.rank()));
        idle = program::idle;
      } else {
        runner = new SplitProgram(compute.scope(), compute.device(), graph, compute.exchange());
        idleRounds = 0;
        idle = () -> {};
      }
      Map<String, Tensor> inputs =
          input.with(
              traced.graph(),
              compute.grid().isGathered() ? Map.of() : parameters.bindings(traced.uses()));
      LaneSums lanes =
          new LaneSums(
              compute.scope(),
              compute.device(),
              runner,
              plan,
              new LaneSums.LaneProgram(graph, FlatLayout.of(sums), inputs));
      bindings.putAll(lanes.subtreeInputs());
      batches = lanes::run;
      meanLoss = StepGraph.meanLoss(split, compute.rank());
    } else {
      idleRounds = 0;
      idle = () -> {};
      ModelPrograms.Traced traced = programs.stagedEvaluation(sequences);
      StageChunks chunks = stages.chunks(traced, ModelPrograms.LOSS_SUM);
      StageSums losses = losses(traced, stages, chunks, parameters, plan, sums);
      bindings.putAll(losses.subtreeInputs());
      PipelineLanes lanes =
          compute.grid().isGathered()
              ? PipelineLanes.gathering(plan, most)
              : PipelineLanes.summed(plan);
      batches =
          new StageLanes(
                  compute.scope(),
                  compute.device(),
                  compute.exchange(),
                  PipelinePlan.evaluation(
                      compute.grid().pipeline().ranks(), stages.perStage(), lanes),
                  chunks,
                  losses)
              ::run;
      meanLoss = StepGraph.meanLoss(compute.grid().stepPlace(split, stages.place()));
    }
    mean =
        new SplitProgram(compute.scope(), compute.device(), meanLoss, compute.exchange())
            .bind(bindings);
    loss = compute.scalar(result.get(StepGraph.LOSS));
  }

  /// Sums the losses of a stage's batches, if it is the last one.
  private StageSums losses(
      ModelPrograms.Traced traced,
      Stages stages,
      StageChunks chunks,
      ModelState parameters,
      LanePlan plan,
      Map<String, Shape> sums) {
    boolean isGathered = compute.grid().isGathered();
    Map<String, Tensor> held = isGathered ? Map.of() : parameters.bindings(stages.own());
    Map<String, Tensor> inputs = Stages.only(input.with(traced.graph(), held), chunks);
    ChunkPrograms programs =
        isGathered
            ? new GatheredChunks(compute, chunks, stages.own(), parameters, inputs)
            : new StagePrograms(
                compute.scope(), compute.device(), compute.exchange(), chunks, inputs);
    FlatLayout layout = FlatLayout.of(stages.isLast() ? sums : Map.of());
    List<FlatRange> ranges =
        new ArrayList<>(Collections.nCopies(chunks.count(), new FlatRange(0, 0)));
    ranges.set(chunks.count() - 1, new FlatRange(0, layout.elements()));
    return new StageSums(compute.scope(), compute.device(), chunks, plan, programs, layout, ranges);
  }

  private static int lanes(List<Subtree> held) {
    return held.stream().mapToInt(Subtree::size).sum();
  }

  private static void requireWindow(Corpus corpus, int context) {
    if (corpus.validationTokens() <= context) {
      throw new ConfigurationException(
          "--context",
          String.valueOf(context),
          "the held-out text is shorter than one window: --context %d, held-out bytes %d (give more text with --data)"
              .formatted(context, corpus.validationTokens()));
    }
  }

  /// Returns the mean loss in nats per token; all ranks call this together.
  float evaluate() {
    batches.run(compute.stream(), this::fill);
    for (int round = 0; round < idleRounds; round++) {
      idle.run(); // others have more batches, and need this rank's shards
    }
    mean.run(compute.stream());
    return loss.get();
  }

  private void fill(int batch) {
    int sequences = recipe.batch().microBatch();
    int context = recipe.model().context();
    long windows = (long) recipe.batch().validationBatches() * sequences;
    for (int row = 0; row < sequences; row++) {
      long window = (long) batch * sequences + row;
      long start = firstToken + Math.multiplyExact(window, starts) / windows;
      reader.read(start, context, input.tokens(), (long) row * context);
      reader.read(start + 1, context, input.targets(), (long) row * context);
    }
    input.send();
  }
}
