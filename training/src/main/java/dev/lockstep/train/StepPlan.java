package dev.lockstep.train;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceInfo;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.Program;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.model.LanguageModel;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.parallel.Crossings;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.LaneSums;
import dev.lockstep.train.parallel.ShardRounds;
import dev.lockstep.train.pipeline.PipelinePlan;
import dev.lockstep.train.pipeline.PipelineSchedule;
import dev.lockstep.train.placement.AxisPlace;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

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
  private final ExchangePlanner exchanges;
  private final int rank;
  private final Map<String, Long> sent = new LinkedHashMap<>();
  private @Nullable PipelinePlan pipeline;
  private int layers;

  /// Compiles the programs of rank 0, or where ranks share out positions those of the first that
  /// holds the last ones: its queries see the most keys.
  ///
  /// @param pool what compiled programs' memory is charged to; borrowed until this is closed
  /// @param ranks world size; at most the recipe's lanes
  /// @throws dev.lockstep.failure.ConfigurationException if there is no such device
  /// @throws dev.lockstep.failure.MemoryBudgetException if a program alone does not fit the pool
  public StepPlan(MemoryPool pool, Recipe recipe, TrainerOptions options, int ranks) {
    this(pool, recipe, options, ranks, busiest(recipe, options.layout(), ranks, 0));
  }

  /// Compiles the programs of the first rank of a stage of a pipeline; the caller closes the plan.
  ///
  /// @param pool as for rank 0
  /// @param ranks world size
  /// @param stage number of the stage; 0 without a pipeline
  public static StepPlan ofStage(
      MemoryPool pool, Recipe recipe, TrainerOptions options, int ranks, int stage) {
    return new StepPlan(
        pool, recipe, options, ranks, busiest(recipe, options.layout(), ranks, stage));
  }

  /// The first rank of a stage that holds the last positions.
  private static int busiest(Recipe recipe, Layout layout, int ranks, int stage) {
    layout.check(recipe, ranks);
    Layout whole = layout.over(ranks);
    int rank = 0;
    while (whole.place(Layout.PIPELINE, rank).rank() != stage
        || !isLast(whole.place(Layout.CONTEXT, rank))
        || (layout.sequenceParallel() && !isLast(whole.place(Layout.EXPERT, rank)))) {
      rank++;
    }
    return rank;
  }

  private static boolean isLast(AxisPlace place) {
    return place.rank() == place.ranks() - 1;
  }

  /// Compiles the programs of the rank of the first stage that has least to do, the fewest lanes
  /// and the first positions; the caller closes the plan.
  ///
  /// @param pool as for rank 0
  /// @param ranks world size
  public static StepPlan ofLeastBusy(
      MemoryPool pool, Recipe recipe, TrainerOptions options, int ranks) {
    options.layout().check(recipe, ranks);
    Layout whole = options.layout().over(ranks);
    int rank = whole.rankAt(Map.of(Layout.DATA, whole.size(Layout.DATA) - 1));
    return new StepPlan(pool, recipe, options, ranks, rank);
  }

  private StepPlan(MemoryPool pool, Recipe recipe, TrainerOptions options, int ranks, int rank) {
    this.rank = rank;
    try {
      int threads =
          options.threads() > 0 ? options.threads() : Runtime.getRuntime().availableProcessors();
      DeviceOptions deviceOptions = new DeviceOptions(pool, threads, options.vectorBits());
      device =
          scope.own(RankCompute.provider(options.device()).open(0, deviceOptions), Device::close);
      options.layout().check(recipe, ranks);
      Grid grid = Grid.of(options.layout(), rank, ranks);
      exchanges = new ExchangePlanner(grid, recipe.sameBits());
      plan(recipe, options, grid);
    } catch (RuntimeException | Error e) {
      Scope.afterFailure(e, scope::close);
      throw e;
    }
  }

  private void plan(Recipe recipe, TrainerOptions options, Grid grid) {
    layers = recipe.model().layers();
    LanguageModel model = recipe.model().model(recipe.blocks().tensor());
    ModelPrograms models = recipe.programs(model, options.recompute());
    Stages stages =
        grid.isStaged()
            ? Stages.of(grid, options.layout().chunks(), models, recipe.batch().microBatch())
            : null;
    HeldParameters held =
        stages == null
            ? HeldParameters.all(model.parameters())
            : stages.held().get(grid.pipeline().rank());
    memory.put("parameters", ModelState.parameterBytes(grid, held));
    memory.put("moments", ModelState.momentBytes(grid, held));
    Shape tokens = Shape.of(recipe.batch().microBatch(), recipe.model().context());
    memory.put("data", DataInput.bytes(tokens) + StepScalars.layout().bytes());
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), grid.data().ranks());
    LanePlan plan = LanePlan.of(split.ranks().get(grid.data().rank()));
    long exchanged;
    if (stages != null) {
      exchanged = stagedStep(recipe, options.layout().schedule(), stages, held);
    } else if (grid.isGathered()) {
      exchanged = gatheredStep(recipe, grid, models.lane(recipe.batch().microBatch()), held);
    } else {
      ModelPrograms.Traced lane = models.lane(recipe.batch().microBatch());
      exchanged =
          grid.isSharded()
              ? compile("lanes", plan, grid.lay(lane)) + shardedStep(recipe, grid, plan, lane, held)
              : step(recipe, grid, plan, lane, bucketBytes(options));
    }
    if (exchanged > 0) {
      memory.put("exchanged", exchanged);
    }
  }

  private long stagedStep(
      Recipe recipe, PipelineSchedule schedule, Stages stages, HeldParameters held) {
    PipelinePlan made = stages.plan(schedule, recipe.batch().lanes());
    pipeline = made;
    layers = stages.ownLayers();
    return new StagePlanner(this, recipe, stages, made, held).plan();
  }

  /// Notes memory.
  void hold(String what, long bytes) {
    memory.put(what, bytes);
  }

  /// Returns the bytes of the parameters that the rank holds.
  long parameterBytes() {
    return memory.getOrDefault("parameters", 0L);
  }

  /// Returns what plans the collectives.
  ExchangePlanner exchangePlanner() {
    return exchanges;
  }

  /// Notes what is sent to a neighbour.
  void send(String where, long bytes) {
    sent.put(where, bytes);
  }

  /// Returns what a way of a chunk is called among the parts of a step: `forward`, or where a stage
  /// has several chunks `forward of chunk 2`.
  ///
  /// @param way `forward` or `backward`
  /// @param chunk counted over all stages
  /// @param perStage chunks of a stage
  public static String part(String way, int chunk, int perStage) {
    return perStage == 1 ? way : way + " of chunk " + chunk;
  }

  /// Plans the lanes and what follows them; returns the bytes that cross between segments.
  private long step(
      Recipe recipe, Grid grid, LanePlan plan, ModelPrograms.Traced lane, long bucketBytes) {
    GradientReduction reduction = GradientReduction.plan(lane, grid, bucketBytes);
    long crossing = compile("lanes", lanes(plan), reduction.segments(device));
    reduction
        .buckets()
        .ifPresent(
            buckets -> {
              hold("gradient sums", buckets.layout().bytes());
              exchanges.reduce(buckets, plan.held().size());
            });
    memory.put("gradients", plan.slots() * reduction.sums().bytes());
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), grid.data().ranks());
    return crossing
        + compile("joins", plan, LaneSums.join(reduction.sums().elements()))
        + compile("update", plan, reduction.step(recipe.optimizer(), grid.stepPlace(split, null)));
  }

  /// A device that keeps collectives inside its programs reduces gradients there.
  private static long bucketBytes(TrainerOptions options) {
    boolean keeps = RankCompute.provider(options.device()).keepsCollectives();
    return keeps ? 0 : options.bucketBytes();
  }

  private static int lanes(LanePlan plan) {
    return (int) plan.actions().stream().filter(LanePlan.Action.Run.class::isInstance).count();
  }

  private static int lanes(ShardRounds rounds, int rank) {
    return (int)
        rounds.rounds().stream().filter(round -> round.first() + rank < round.end()).count();
  }

  private long shardedStep(
      Recipe recipe, Grid grid, LanePlan plan, ModelPrograms.Traced lane, HeldParameters held) {
    GradientGroups groups = GradientGroups.of(grid, held, List.of(lane.uses()), true);
    boolean isInterleaved = grid.zero() > 1;
    ShardRounds rounds = ShardRounds.of(recipe.batch().lanes(), grid.data().ranks(), false);
    int slots = isInterleaved ? 1 : plan.slots();
    int shards = isInterleaved ? rounds.slots() : 1;
    FlatLayout shard = groups.shardLayout(grid.data().rank());
    memory.put("gradients", slots * groups.layout().bytes());
    memory.put("gradient shards", shards * shard.bytes());
    long joined = isInterleaved ? shard.elements() : groups.layout().elements();
    long exchanged =
        compile("joins", plan, LaneSums.join(joined))
            + compile("update", plan, ShardUpdate.graph(recipe, grid, null, groups));
    if (isInterleaved) {
      exchanges.reduce(groups, rounds);
    } else {
      exchanges.reduce(groups, plan.held().size());
    }
    exchanges.gather(parameterBytes());
    if (isInterleaved) {
      runs.put("lanes", lanes(rounds, grid.data().rank()));
      runs.put("joins", rounds.joins());
    }
    return exchanged;
  }

  private long gatheredStep(
      Recipe recipe, Grid grid, ModelPrograms.Traced lane, HeldParameters held) {
    FlatLayout layout = ModelState.parameterLayout(grid, held.parameters());
    GradientGroups groups = GradientGroups.of(grid, held, List.of(lane.uses()), true);
    GatherPlan gathers = GatheredProgram.plan(grid.lay(lane), lane.uses(), groups.shards(), layout);
    ShardRounds rounds = ShardRounds.of(recipe.batch().lanes(), grid.data().ranks(), true);
    FlatLayout shard = groups.shardLayout(grid.data().rank());
    GradientPlan gradients = GradientPlan.of(gathers, groups, groups.of(0));
    exchanges.gather("lanes", gathers, rounds, groups.shards(), layout);
    exchanges.reduce("lanes", gathers, gradients, groups, rounds);
    memory.put("gathered parameters", gathers.bytes());
    memory.put("gradients", gradients.bytes() + GatheredLanes.lossLayout().bytes());
    memory.put("gradient shards", rounds.slots() * shard.bytes());
    return compile("lanes", lanes(rounds, grid.data().rank()), gathers.segments())
        + compileJoins(rounds.joins(), List.of(shard.elements()))
        + compile("update", 1, ShardUpdate.graph(recipe, grid, null, groups));
  }

  private long compile(String part, LanePlan plan, Graph graph) {
    int lanes = lanes(plan);
    int times =
        switch (part) {
          case "lanes" -> lanes;
          case "joins" -> plan.actions().size() - lanes;
          default -> 1;
        };
    return compile(part, times, GraphSplitter.split(graph));
  }

  /// Compiles a program and returns the bytes that cross between its segments.
  long compile(String part, int times, Graph graph) {
    return compile(part, times, GraphSplitter.split(graph));
  }

  private long compile(String part, int times, GraphSplitter.Segments parts) {
    return compileTogether("arena of " + part, Map.of(part, parts), times);
  }

  /// Compiles the ways of a stage's chunks and returns the bytes that cross between segments.
  ///
  /// @param ways segments by part, in order
  long compileTogether(Map<String, GraphSplitter.Segments> ways, int times) {
    return compileTogether("arena of lanes", ways, times);
  }

  /// Compiles the joins of the sums of a stage's chunks; none of those of which it has no sums.
  long compileJoins(int times, List<Long> elements) {
    Map<String, GraphSplitter.Segments> joins = new LinkedHashMap<>();
    for (long each : elements) {
      if (each > 0) {
        String part = joins.isEmpty() ? "joins" : "joins " + joins.size();
        joins.put(part, GraphSplitter.split(LaneSums.join(each)));
      }
    }
    return compileTogether("arena of joins", joins, times);
  }

  /// Compiles programs of which one runs at a time.
  private long compileTogether(String arena, Map<String, GraphSplitter.Segments> all, int times) {
    List<Graph> segments = new ArrayList<>();
    for (GraphSplitter.Segments parts : all.values()) {
      segments.addAll(computed(parts));
    }
    List<Program> compiled = device.compileTogether(segments);
    compiled.forEach(program -> scope.own(program, Program::close));
    memory.put(arena, compiled.stream().mapToLong(Program::arenaBytes).sum());
    int next = 0;
    long bytes = 0;
    for (Map.Entry<String, GraphSplitter.Segments> part : all.entrySet()) {
      int end = next + computed(part.getValue()).size();
      programs.put(part.getKey(), List.copyOf(compiled.subList(next, end)));
      runs.put(part.getKey(), times);
      next = end;
      exchanges.add(part.getValue().graph(), part.getKey(), times);
      bytes += crossing(part.getValue());
    }
    return bytes;
  }

  private static List<Graph> computed(GraphSplitter.Segments parts) {
    List<Graph> segments = new ArrayList<>();
    for (GraphSplitter.Part each : parts.parts()) {
      if (each instanceof GraphSplitter.Compute(Graph segment)) {
        segments.add(segment);
      }
    }
    return segments;
  }

  /// Returns the bytes that cross between segments.
  private static long crossing(GraphSplitter.Segments parts) {
    Crossings crossings = Crossings.plan(parts);
    long bytes = crossings.bytes();
    for (Graph.Named crossing : parts.crossings()) {
      if (crossings.bucketed().contains(crossing.name())) {
        bytes += crossing.value().type().bytes();
      }
    }
    return bytes;
  }

  /// Returns whose plan this is.
  public int rank() {
    return rank;
  }

  /// Returns what computes.
  public DeviceInfo device() {
    return device.info();
  }

  /// Returns the programs by what they do, as [Trainer#programs].
  public Map<String, List<Program>> programs() {
    return Collections.unmodifiableMap(programs);
  }

  /// Returns the plan of the pipeline; empty without one.
  public Optional<PipelinePlan> pipeline() {
    return Optional.ofNullable(pipeline);
  }

  /// Returns how many of the model's layers the rank's stage has; without a pipeline all.
  public int layers() {
    return layers;
  }

  /// Returns the bytes that the rank sends its neighbours in the pipeline in a step; empty without
  /// one.
  public Map<String, Long> sentBytes() {
    return Collections.unmodifiableMap(sent);
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
    return exchanges.all();
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
