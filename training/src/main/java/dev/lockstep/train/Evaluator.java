package dev.lockstep.train;

import dev.lockstep.device.Stream;
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

  /// What computes the batches' losses.
  ///
  /// @param batches runs those of this rank
  /// @param idle takes part in one that others have and this rank has not
  /// @param sums where the losses of this rank's subtrees are, as inputs of `meanLoss`
  /// @param meanLoss joins them over the ranks
  private record Work(Batches batches, Runnable idle, Map<String, Tensor> sums, Graph meanLoss) {}

  /// Compiles the programs.
  ///
  /// @param stages how layers are spread over ranks; null if they are not
  /// @param parameters the model's parameters; borrowed
  /// @throws dev.lockstep.failure.ConfigurationException if the held-out text is shorter than one
  ///   window
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
    recipe.requireHeldOutWindow(corpus);
    reader = corpus.newReader();
    firstToken = corpus.trainTokens();
    starts = corpus.validationTokens() - context;
    input = new DataInput(compute, recipe.batch().microBatch(), context);
    LaneSplit split = LaneSplit.contiguous(recipe.batch().validationBatches(), compute.ranks());
    Work work =
        stages == null
            ? whole(programs, parameters, split)
            : staged(programs, parameters, split, stages);
    batches = work.batches;
    idle = work.idle;
    boolean meetsOthers = compute.grid().isGathered() && stages == null;
    idleRounds = meetsOthers ? most(split) - lanes(split.ranks().get(compute.rank())) : 0;
    FlatTensors result =
        compute.allocate("evaluation", FlatLayout.of(Map.of(StepGraph.LOSS, Shape.scalar())));
    Map<String, Tensor> bindings = new HashMap<>(result.byName());
    bindings.putAll(work.sums);
    mean =
        new SplitProgram(compute.scope(), compute.device(), work.meanLoss, compute.exchange())
            .bind(bindings);
    loss = compute.scalar(result.get(StepGraph.LOSS));
  }

  private LanePlan plan(LaneSplit split) {
    return LanePlan.of(split.ranks().get(compute.rank()));
  }

  /// What a batch leaves.
  private static Map<String, Shape> lossShapes() {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    shapes.put(ModelPrograms.LOSS_SUM, Shape.scalar());
    shapes.put(ModelPrograms.COUNT, Shape.scalar());
    return shapes;
  }

  /// The rank computes all layers.
  private Work whole(ModelPrograms programs, ModelState parameters, LaneSplit split) {
    ModelPrograms.Traced traced = programs.evaluation(recipe.batch().microBatch());
    Graph graph = compute.grid().lay(traced);
    LaneRunner runner;
    Runnable idle;
    Map<String, Tensor> held;
    if (compute.grid().isGathered()) {
      GatheredProgram program = GatheredProgram.of(compute, graph, traced.uses(), parameters);
      runner = program;
      idle = program::idle;
      held = Map.of();
    } else {
      runner = new SplitProgram(compute.scope(), compute.device(), graph, compute.exchange());
      idle = () -> {};
      held = parameters.bindings(traced.uses());
    }
    LaneSums.LaneProgram lane =
        new LaneSums.LaneProgram(
            graph, FlatLayout.of(lossShapes()), input.with(traced.graph(), held));
    LaneSums lanes = new LaneSums(compute.scope(), compute.device(), runner, plan(split), lane);
    Graph meanLoss = StepGraph.meanLoss(split, compute.rank());
    return new Work(lanes::run, idle, lanes.subtreeInputs(), meanLoss);
  }

  /// The rank computes a stage's layers.
  private Work staged(
      ModelPrograms programs, ModelState parameters, LaneSplit split, Stages stages) {
    ModelPrograms.Traced traced = programs.stagedEvaluation(recipe.batch().microBatch());
    StageChunks chunks = stages.chunks(traced, ModelPrograms.LOSS_SUM);
    StageSums losses = losses(traced, stages, chunks, parameters, plan(split));
    PipelineLanes lanes =
        compute.grid().isGathered()
            ? PipelineLanes.gathering(plan(split), most(split))
            : PipelineLanes.summed(plan(split));
    PipelinePlan order =
        PipelinePlan.evaluation(compute.grid().pipeline().ranks(), stages.perStage(), lanes);
    StageLanes stage =
        new StageLanes(
            compute.scope(), compute.device(), compute.exchange(), order, chunks, losses);
    Graph meanLoss = StepGraph.meanLoss(compute.grid().stepPlace(split, stages.place()));
    return new Work(stage::run, () -> {}, losses.subtreeInputs(), meanLoss);
  }

  /// Sums the losses of a stage's batches, if it is the last one.
  private StageSums losses(
      ModelPrograms.Traced traced,
      Stages stages,
      StageChunks chunks,
      ModelState parameters,
      LanePlan plan) {
    boolean isGathered = compute.grid().isGathered();
    Map<String, Tensor> held = isGathered ? Map.of() : parameters.bindings(stages.own());
    Map<String, Tensor> inputs = Stages.only(input.with(traced.graph(), held), chunks);
    ChunkPrograms programs =
        isGathered
            ? new GatheredChunks(compute, chunks, stages.own(), parameters, inputs)
            : new StagePrograms(
                compute.scope(), compute.device(), compute.exchange(), chunks, inputs);
    FlatLayout layout = FlatLayout.of(stages.isLast() ? lossShapes() : Map.of());
    List<FlatRange> ranges =
        new ArrayList<>(Collections.nCopies(chunks.count(), new FlatRange(0, 0)));
    ranges.set(chunks.count() - 1, new FlatRange(0, layout.elements()));
    return new StageSums(compute.scope(), compute.device(), chunks, plan, programs, layout, ranges);
  }

  private static int most(LaneSplit split) {
    return split.ranks().stream().mapToInt(Evaluator::lanes).max().orElse(0);
  }

  private static int lanes(List<Subtree> held) {
    return held.stream().mapToInt(Subtree::size).sum();
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
