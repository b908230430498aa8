package dev.lockstep.train;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.Program;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.train.ShardedSteps.ShardPlan;
import dev.lockstep.train.model.LanguageModel;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.Crossings;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.Scope;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// What one rank of a training run would do and hold, without text, job or weights: the programs of
/// a step, compiled, and the memory that a [Trainer] of the same recipe takes.
///
/// Owns its device and programs; single-threaded.
public final class StepPlan implements AutoCloseable {
  private final Scope scope = new Scope();
  private final Device device;
  private final Map<String, List<Program>> programs = new LinkedHashMap<>();
  private final Map<String, Integer> runs = new LinkedHashMap<>();
  private final Map<String, Long> memory = new LinkedHashMap<>();

  /// Compiles the programs of rank 0.
  ///
  /// @param pool what compiled programs' memory is charged to; borrowed until this is closed
  /// @param ranks world size; at most the recipe's lanes
  /// @throws dev.lockstep.failure.ConfigurationException if there is no such device
  /// @throws dev.lockstep.failure.MemoryBudgetException if a program alone does not fit the pool
  public StepPlan(MemoryPool pool, Recipe recipe, TrainerOptions options, int ranks) {
    try {
      int threads =
          options.threads() > 0 ? options.threads() : Runtime.getRuntime().availableProcessors();
      DeviceOptions deviceOptions = new DeviceOptions(pool, threads, options.vectorBits());
      device =
          scope.own(RankCompute.provider(options.device()).open(0, deviceOptions), Device::close);
      options.layout().check(recipe, ranks);
      plan(recipe, options.recompute(), Grid.of(options.layout(), 0, ranks));
    } catch (RuntimeException | Error e) {
      scope.close();
      throw e;
    }
  }

  private void plan(Recipe recipe, Recompute recompute, Grid grid) {
    LanguageModel model = recipe.model().model(recipe.blocks().tensor());
    ModelPrograms.Traced lane =
        new ModelPrograms(model, recipe.blocks().tokens(), recompute, recipe.precision())
            .lane(recipe.batch().microBatch());
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), grid.data().ranks());
    LanePlan plan = LanePlan.of(split.ranks().getFirst());
    memory.put("parameters", ModelState.parameterLayout(grid, model.parameters()).bytes());
    memory.put("moments", ModelState.momentBytes(grid, model.parameters()));
    long tokens = (long) recipe.batch().microBatch() * recipe.model().context();
    memory.put("data", 2 * tokens * DType.I32.bytes() + StepPrograms.scalarLayout().bytes());
    long exchanged = compile("lanes", plan, grid.lay(lane));
    exchanged +=
        grid.isSharded() ? shardedStep(recipe, grid, plan, lane) : step(recipe, grid, plan, lane);
    if (exchanged > 0) {
      memory.put("exchanged", exchanged);
    }
  }

  /// Plans what follows the lanes; returns the bytes that cross between segments.
  private long step(Recipe recipe, Grid grid, LanePlan plan, ModelPrograms.Traced lane) {
    FlatLayout sums = StepPrograms.sums(grid, lane.uses());
    memory.put("gradients", plan.slots() * sums.bytes());
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), grid.data().ranks());
    StepPlace place = new StepPlace(split, 0, grid.tensor());
    return compile("joins", plan, LaneSums.join(sums.elements()))
        + compile("update", plan, StepGraph.trace(lane.uses(), recipe.optimizer(), place));
  }

  private long shardedStep(Recipe recipe, Grid grid, LanePlan plan, ModelPrograms.Traced lane) {
    List<Parameter> parameters =
        lane.uses().stream().map(ParameterUse::parameter).distinct().toList();
    GradientGroups groups =
        GradientGroups.of(grid, ModelState.parameterLayout(grid, parameters), lane.uses());
    int ranks = grid.data().ranks();
    boolean isInterleaved = grid.zero() > 1;
    int slots = isInterleaved ? 1 : plan.slots();
    int shards = isInterleaved ? ShardPlan.of(recipe.batch().lanes(), ranks).slots() : 1;
    FlatLayout shard = groups.shardLayout(0);
    memory.put("gradients", slots * groups.layout().bytes());
    memory.put("gradient shards", shards * shard.bytes());
    long joined = isInterleaved ? shard.elements() : groups.layout().elements();
    StepPlace place = new StepPlace(LaneSplit.onePerRank(ranks), 0, grid.tensor());
    Graph update =
        StepGraph.traceShard(
            grid.shards(groups.parameters()), groups.useCounts(), recipe.optimizer(), place);
    long exchanged =
        compile("joins", plan, LaneSums.join(joined)) + compile("update", plan, update);
    if (isInterleaved) {
      runs.put("joins", ShardPlan.of(recipe.batch().lanes(), ranks).joins());
      runs.put("lanes", Math.ceilDiv(recipe.batch().lanes(), ranks));
    }
    return exchanged;
  }

  /// Compiles the segments of a program and returns the bytes that cross between them.
  private long compile(String part, LanePlan plan, Graph graph) {
    GraphSplitter.Segments parts = GraphSplitter.split(graph);
    List<Graph> segments = new ArrayList<>();
    for (GraphSplitter.Part each : parts.parts()) {
      if (each instanceof GraphSplitter.Compute(Graph segment)) {
        segments.add(segment);
      }
    }
    compile(part, plan, segments);
    Crossings crossings = Crossings.plan(parts);
    long bytes = crossings.bytes();
    for (Graph.Named crossing : parts.crossings()) {
      if (crossings.bucketed().contains(crossing.name())) {
        bytes += crossing.value().type().bytes();
      }
    }
    return bytes;
  }

  private void compile(String part, LanePlan plan, List<Graph> graphs) {
    List<Program> compiled = new ArrayList<>();
    for (Graph graph : graphs) {
      compiled.add(scope.own(device.compile(graph), Program::close));
    }
    programs.put(part, List.copyOf(compiled));
    int laneRuns =
        (int) plan.actions().stream().filter(LanePlan.Action.Run.class::isInstance).count();
    runs.put(
        part,
        switch (part) {
          case "lanes" -> laneRuns;
          case "joins" -> plan.actions().size() - laneRuns;
          default -> 1;
        });
    memory.put("arena of " + part, compiled.stream().mapToLong(Program::arenaBytes).sum());
  }

  /// Returns what computes.
  public DeviceInfo device() {
    return device.info();
  }

  /// Returns the programs by what they do, as [Trainer#programs].
  public Map<String, List<Program>> programs() {
    return Collections.unmodifiableMap(programs);
  }

  /// Returns how often a step runs each part.
  public Map<String, Integer> runs() {
    return Collections.unmodifiableMap(runs);
  }

  /// Returns the bytes of device memory that the rank holds from its first step to its last, by
  /// what they are for. Beside it stand a few words per rank, and while ranks that hold parts save
  /// or hash, pieces of 1 MiB: one to give on each, up to five more on rank 0.
  public Map<String, Long> memory() {
    return Collections.unmodifiableMap(memory);
  }

  /// Returns the sum of [#memory].
  public long peakBytes() {
    return memory.values().stream().mapToLong(Long::longValue).sum();
  }

  /// Frees the programs and the device; idempotent.
  @Override
  public void close() {
    scope.close();
  }
}
