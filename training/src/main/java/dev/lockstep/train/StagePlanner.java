package dev.lockstep.train;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.GraphSplitter.Segments;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatRange;
import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.parallel.ShardRounds;
import dev.lockstep.train.pipeline.Chunk;
import dev.lockstep.train.pipeline.PipelinePlan;
import dev.lockstep.train.pipeline.StageChunks;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Plans what a stage of a pipeline does in a step, for a [StepPlan].
final class StagePlanner {
  private final StepPlan step;
  private final Recipe recipe;
  private final Grid grid;
  private final Stages stages;
  private final PipelinePlan pipeline;
  private final HeldParameters held;
  private final StageChunks chunks;

  /// @param step is given memory, programs and collectives
  /// @param held what the stage holds
  StagePlanner(
      StepPlan step, Recipe recipe, Stages stages, PipelinePlan pipeline, HeldParameters held) {
    this.step = step;
    this.recipe = recipe;
    this.grid = stages.grid();
    this.stages = stages;
    this.pipeline = pipeline;
    this.held = held;
    this.chunks = stages.chunks();
  }

  /// Plans the step; returns the bytes that cross between segments.
  long plan() {
    long flights = 0;
    long gradients = 0;
    long forth = 0;
    long back = 0;
    for (int own = 0; own < chunks.count(); own++) {
      Chunk chunk = chunks.chunks().get(own);
      flights += pipeline.slots().get(chunks.number(own)) * chunk.flightBytes();
      gradients += chunk.gradientBytes(pipeline.messagesBack());
      forth += pipeline.count() * chunk.sent().bytes();
      back += pipeline.count() * chunk.gradientSent().bytes();
    }
    step.hold("lanes in flight", flights);
    step.hold("gradients in flight", gradients);
    step.send("to the next stage", forth);
    step.send("to the stage before", back);
    LaneSplit split = LaneSplit.contiguous(recipe.batch().lanes(), grid.data().ranks());
    LanePlan lanes = LanePlan.of(split.ranks().get(grid.data().rank()));
    return switch (grid.zero()) {
      case 0 -> whole(lanes, split);
      case 1 -> shardedState(lanes);
      case 2 -> shardedSums();
      default -> shardedParameters();
    };
  }

  /// What a way of one of the stage's chunks is called.
  private String part(String way, int own) {
    return StepPlan.part(way, chunks.number(own), chunks.count());
  }

  private long whole(LanePlan lanes, LaneSplit split) {
    FlatLayout sums = StepPrograms.sums(grid, stages.own(), stages.isLast());
    StepPlace place = grid.stepPlace(split, stages.place());
    step.hold("gradients", lanes.slots() * sums.bytes());
    return compileWays()
        + step.compileJoins(joins(lanes), elements(sums))
        + step.compile("update", 1, StepGraph.trace(stages.own(), recipe.optimizer(), place));
  }

  private static int joins(LanePlan lanes) {
    return (int) lanes.actions().stream().filter(LanePlan.Action.Join.class::isInstance).count();
  }

  private List<Long> elements(FlatLayout sums) {
    return FlatRange.cut(sums, StagedShards.firsts(stages)).stream()
        .map(range -> range.end() - range.first())
        .toList();
  }

  private GradientGroups groups() {
    return GradientGroups.of(grid, held, stages.ownByChunk(), stages.isLast());
  }

  private long shardedState(LanePlan lanes) {
    GradientGroups groups = groups();
    step.hold("gradients", lanes.slots() * groups.layout().bytes());
    step.hold("gradient shards", groups.shardLayout(grid.data().rank()).bytes());
    step.exchangePlanner().reduce(groups, lanes.held().size());
    step.exchangePlanner().gather(step.parameterBytes());
    return compileWays()
        + step.compileJoins(joins(lanes), elements(groups.layout()))
        + compileUpdate(groups);
  }

  private long shardedSums() {
    GradientGroups groups = groups();
    ShardRounds rounds = ShardRounds.of(recipe.batch().lanes(), grid.data().ranks(), false);
    step.hold("gradients", groups.laneBytes());
    step.hold("gradient shards", rounds.slots() * groups.shardLayout(grid.data().rank()).bytes());
    step.exchangePlanner().reduce(groups, rounds);
    step.exchangePlanner().gather(step.parameterBytes());
    return compileWays()
        + step.compileJoins(rounds.joins(), shardElements(groups))
        + compileUpdate(groups);
  }

  private List<Long> shardElements(GradientGroups groups) {
    List<Long> elements = new ArrayList<>();
    for (int chunk = 0; chunk < groups.chunks(); chunk++) {
      elements.add(groups.shardElements(chunk, grid.data().rank()));
    }
    return elements;
  }

  private long shardedParameters() {
    GradientGroups groups = groups();
    FlatLayout layout = ModelState.parameterLayout(grid, held.parameters());
    ShardRounds rounds = ShardRounds.of(recipe.batch().lanes(), grid.data().ranks(), true);
    Map<String, Segments> ways = new LinkedHashMap<>();
    long gathered = 0;
    long gradients = 0;
    for (int own = 0; own < chunks.count(); own++) {
      GatherPlan last = null;
      List<String> names = List.of(part("forward", own), part("backward", own));
      Chunk chunk = chunks.chunks().get(own);
      List<Graph> graphs = new ArrayList<>(List.of(chunk.forward()));
      chunk.backward().ifPresent(graphs::add);
      for (int way = 0; way < graphs.size(); way++) {
        GatherPlan gathers =
            GatheredProgram.plan(graphs.get(way), stages.own(), groups.shards(), layout);
        ways.put(names.get(way), gathers.segments());
        gathered = Math.max(gathered, gathers.bytes());
        step.exchangePlanner().gather(names.get(way), gathers, rounds, groups.shards(), layout);
        last = gathers;
      }
      if (last != null) {
        GradientPlan plan = GradientPlan.of(last, groups, groups.of(own));
        gradients = Math.max(gradients, plan.bytes());
        step.exchangePlanner().reduce(names.get(graphs.size() - 1), last, plan, groups, rounds);
      }
    }
    long losses = groups.hasLoss() ? GatheredLanes.lossLayout().bytes() : 0;
    step.hold("gathered parameters", gathered);
    step.hold("gradients", gradients + losses);
    step.hold("gradient shards", rounds.slots() * groups.shardLayout(grid.data().rank()).bytes());
    return step.compileTogether(ways, pipeline.count())
        + step.compileJoins(rounds.joins(), shardElements(groups))
        + compileUpdate(groups);
  }

  private long compileWays() {
    Map<String, Segments> ways = new LinkedHashMap<>();
    for (int own = 0; own < chunks.count(); own++) {
      Chunk chunk = chunks.chunks().get(own);
      ways.put(part("forward", own), GraphSplitter.split(chunk.forward()));
      String back = part("backward", own);
      chunk.backward().ifPresent(graph -> ways.put(back, GraphSplitter.split(graph)));
    }
    return step.compileTogether(ways, pipeline.count());
  }

  private long compileUpdate(GradientGroups groups) {
    return step.compile("update", 1, ShardUpdate.graph(recipe, grid, stages, groups));
  }
}
