package dev.lockstep.train;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.Program;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.model.LanguageModel;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.Crossings;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.Scope;
import dev.lockstep.train.parallel.ShardRounds;
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
  private final List<PlannedExchange> exchanges = new ArrayList<>();
  private int dataRanks = 1;
  private int tensorRanks = 1;

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
    dataRanks = grid.data().ranks();
    tensorRanks = grid.tensor().ranks();
    LanguageModel model = recipe.model().model(recipe.blocks().tensor());
    ModelPrograms.Traced lane = recipe.programs(model, recompute).lane(recipe.batch().microBatch());
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), grid.data().ranks());
    LanePlan plan = LanePlan.of(split.ranks().getFirst());
    memory.put("parameters", ModelState.parameterBytes(grid, model.parameters()));
    memory.put("moments", ModelState.momentBytes(grid, model.parameters()));
    Shape tokens = Shape.of(recipe.batch().microBatch(), recipe.model().context());
    memory.put("data", DataInput.bytes(tokens) + StepPrograms.scalarLayout().bytes());
    long exchanged;
    if (grid.isGathered()) {
      exchanged = gatheredStep(recipe, grid, lane);
    } else {
      exchanged = compile("lanes", plan, grid.lay(lane));
      exchanged +=
          grid.isSharded() ? shardedStep(recipe, grid, plan, lane) : step(recipe, grid, plan, lane);
    }
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
    ShardRounds rounds = ShardRounds.of(recipe.batch().lanes(), ranks, false);
    int slots = isInterleaved ? 1 : plan.slots();
    int shards = isInterleaved ? rounds.slots() : 1;
    FlatLayout shard = groups.shardLayout(0);
    memory.put("gradients", slots * groups.layout().bytes());
    memory.put("gradient shards", shards * shard.bytes());
    long joined = isInterleaved ? shard.elements() : groups.layout().elements();
    long exchanged =
        compile("joins", plan, LaneSums.join(joined))
            + compile("update", plan, shardUpdate(recipe, grid, groups));
    int reductions = isInterleaved ? reductions(rounds) : 1;
    for (int group = 0; group < groups.count(); group++) {
      long bytes = groups.groupLayout(group).bytes();
      exchanges.add(
          PlannedExchange.reduceScatter(
              Layout.DATA, ranks, "gradients, use " + (group + 1), bytes, reductions, ""));
    }
    exchanges.add(
        PlannedExchange.allGather(
            Layout.DATA, ranks, "parameters", memory.getOrDefault("parameters", 0L), 1, ""));
    if (isInterleaved) {
      runs.put("lanes", rounds.rounds().size());
      runs.put("joins", rounds.joins());
    }
    return exchanged;
  }

  private static int reductions(ShardRounds rounds) {
    return (int)
        rounds.rounds().stream()
            .flatMap(round -> round.actions().stream())
            .filter(ShardRounds.Action.Reduce.class::isInstance)
            .count();
  }

  private static Graph shardUpdate(Recipe recipe, Grid grid, GradientGroups groups) {
    StepPlace place = new StepPlace(LaneSplit.onePerRank(grid.data().ranks()), 0, grid.tensor());
    return StepGraph.traceShard(
        grid.shards(groups.parameters()), groups.useCounts(), recipe.optimizer(), place);
  }

  private long gatheredStep(Recipe recipe, Grid grid, ModelPrograms.Traced lane) {
    List<Parameter> parameters =
        lane.uses().stream().map(ParameterUse::parameter).distinct().toList();
    FlatLayout layout = ModelState.parameterLayout(grid, parameters);
    GradientGroups groups = GradientGroups.of(grid, layout, lane.uses());
    GatherPlan gathers =
        GatheredProgram.plan(grid.lay(lane), lane.uses(), grid.shards(parameters), layout);
    ShardRounds rounds = ShardRounds.of(recipe.batch().lanes(), grid.data().ranks(), true);
    FlatLayout shard = groups.shardLayout(0);
    plan(gathers, groups, rounds, grid.shards(parameters), layout);
    memory.put("gathered parameters", gathers.bytes());
    memory.put(
        "gradients",
        GatheredLanes.GradientPlan.of(gathers, groups).places().bytes()
            + GatheredLanes.lossLayout().bytes());
    memory.put("gradient shards", rounds.slots() * shard.bytes());
    long exchanged =
        compile("lanes", rounds.rounds().size(), gathers.segments())
            + compile("joins", rounds.joins(), GraphSplitter.split(LaneSums.join(shard.elements())))
            + compile("update", 1, GraphSplitter.split(shardUpdate(recipe, grid, groups)));
    return exchanged;
  }

  /// What goes over the data axis while lanes compute.
  private void plan(
      GatherPlan gathers,
      GradientGroups groups,
      ShardRounds rounds,
      StateShards shards,
      FlatLayout layout) {
    int times = rounds.rounds().size();
    for (GatherPlan.Gather gather : gathers.gathers()) {
      List<Long> borders = FlatRanges.borders(layout, shards, gather.unit());
      long bytes = (borders.getLast() - borders.getFirst()) * DType.F32.bytes();
      String what = "parameters of unit " + gather.unit();
      String behind = gather.first() == 0 ? "" : phase(gathers, gather.first() - 1);
      exchanges.add(PlannedExchange.allGather(Layout.DATA, dataRanks, what, bytes, times, behind));
    }
    List<Integer> last = GatheredLanes.GradientPlan.of(gathers, groups).last();
    for (int group = 0; group < groups.count(); group++) {
      String next =
          last.get(group) + 1 < gathers.phases().size() ? phase(gathers, last.get(group) + 1) : "";
      exchanges.add(
          PlannedExchange.reduceScatter(
              Layout.DATA,
              dataRanks,
              "gradients of group " + group,
              groups.groupLayout(group).bytes(),
              reductions(rounds),
              next));
    }
  }

  private static String phase(GatherPlan gathers, int phase) {
    return "lanes, phase %d of %d".formatted(phase + 1, gathers.phases().size());
  }

  private long compile(String part, LanePlan plan, Graph graph) {
    int lanes = (int) plan.actions().stream().filter(LanePlan.Action.Run.class::isInstance).count();
    int times =
        switch (part) {
          case "lanes" -> lanes;
          case "joins" -> plan.actions().size() - lanes;
          default -> 1;
        };
    return compile(part, times, GraphSplitter.split(graph));
  }

  /// Compiles the segments of a program and returns the bytes that cross between them.
  private long compile(String part, int times, GraphSplitter.Segments parts) {
    List<Graph> segments = new ArrayList<>();
    for (GraphSplitter.Part each : parts.parts()) {
      if (each instanceof GraphSplitter.Compute(Graph segment)) {
        segments.add(segment);
      }
    }
    List<Program> compiled = device.compileTogether(segments);
    compiled.forEach(program -> scope.own(program, Program::close));
    programs.put(part, List.copyOf(compiled));
    runs.put(part, times);
    memory.put("arena of " + part, compiled.stream().mapToLong(Program::arenaBytes).sum());
    addExchanges(part, times, parts);
    Crossings crossings = Crossings.plan(parts);
    long bytes = crossings.bytes();
    for (Graph.Named crossing : parts.crossings()) {
      if (crossings.bucketed().contains(crossing.name())) {
        bytes += crossing.value().type().bytes();
      }
    }
    return bytes;
  }

  /// Adds the collectives of a program, those that are alike as one.
  private void addExchanges(String part, int times, GraphSplitter.Segments parts) {
    Map<PlannedExchange, Integer> found = new LinkedHashMap<>();
    for (Node node : parts.graph().nodes()) {
      long bytes = node.outputs().getFirst().type().bytes();
      switch (node.op()) {
        case Primitive.AllReduce(String axis, ReduceOp _, LaneSplit _) ->
            found.merge(
                PlannedExchange.allReduce(axis, ranks(axis), part, bytes, 1), 1, Integer::sum);
        case Primitive.AllGather(String axis, int _, int _) ->
            found.merge(
                PlannedExchange.allGather(axis, ranks(axis), part, bytes, 1, ""), 1, Integer::sum);
        case Primitive _, Composite _ -> {}
      }
    }
    found.forEach(
        (each, count) ->
            exchanges.add(
                new PlannedExchange(
                    each.axis(),
                    each.what(),
                    each.bytes(),
                    each.sentBytes(),
                    count * times,
                    each.behind())));
  }

  private int ranks(String axis) {
    return axis.equals(Layout.DATA) ? dataRanks : tensorRanks;
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
  /// what they are for. Beside it stand a few words per rank; while ranks that hold parts hash,
  /// pieces of 1 MiB: one to give on each, up to five more on rank 0; and once a checkpoint was
  /// saved in the background, a copy of what the rank writes of it.
  public Map<String, Long> memory() {
    return Collections.unmodifiableMap(memory);
  }

  /// Returns the collectives of a step, with what computes meanwhile.
  public List<PlannedExchange> exchanges() {
    return List.copyOf(exchanges);
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
