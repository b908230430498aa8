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
import dev.lockstep.train.parallel.FlatTensors;
import dev.lockstep.train.parallel.HostScalar;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneRunner;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.SplitProgram;
import dev.lockstep.train.pipeline.Chunk;
import dev.lockstep.train.pipeline.PipelinePlan;
import dev.lockstep.train.pipeline.StageLanes;
import dev.lockstep.train.placement.AxisPlace;
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
        GatheredProgram program = new GatheredProgram(compute, graph, traced.uses(), parameters);
        runner = program;
        int most = split.ranks().stream().mapToInt(Evaluator::lanes).max().orElse(0);
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
      AxisPlace axis = compute.grid().pipeline();
      ModelPrograms.Traced traced = programs.stagedEvaluation(sequences);
      Chunk chunk = stages.chunk(traced, ModelPrograms.LOSS_SUM);
      boolean isLast = axis.rank() == axis.ranks() - 1;
      StageLanes lanes =
          new StageLanes(
              compute.scope(),
              compute.device(),
              compute.exchange(),
              PipelinePlan.evaluation(axis.ranks(), plan),
              axis,
              new StageLanes.StageProgram(
                  chunk,
                  FlatLayout.of(isLast ? sums : Map.of()),
                  Stages.only(
                      input.with(traced.graph(), parameters.bindings(stages.own())), chunk)),
              stages.data());
      bindings.putAll(lanes.subtreeInputs());
      batches = lanes::run;
      meanLoss = StepGraph.meanLoss(compute.grid().stepPlace(split, stages.place()));
    }
    mean =
        new SplitProgram(compute.scope(), compute.device(), meanLoss, compute.exchange())
            .bind(bindings);
    loss = compute.scalar(result.get(StepGraph.LOSS));
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
