package dev.lockstep.train.pipeline;

import dev.lockstep.train.parallel.LanePlan;
import dev.lockstep.train.pipeline.StageTurns.Turn;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;

/// What each stage of a pipeline does in a step, in order. Making one plays it: a plan in which a
/// message is missing, comes twice or goes astray, a lane leaves a chunk out, a lane's memory is
/// overwritten while it is needed, the lanes are not summed by their tree, or all stages wait for
/// one another, cannot be made.
///
/// Chunks of layers are dealt out to the stages in turn: stage `s` of `P` has the chunks `s`, `s +
/// P`, `s + 2P`, … Of the last stage a message forth goes to the first one, and back again.
///
/// @param lanes the lanes of this pipeline
/// @param trains whether there is a way back; else lanes go forth and the last chunk sums what
///   comes out
/// @param slots of how many lanes each chunk keeps something at once
/// @param stages what each stage does
public record PipelinePlan(
    PipelineLanes lanes, boolean trains, List<Integer> slots, List<List<StageAction>> stages) {
  /// Messages back that a chunk may have under way: one is read while the next is written.
  static final int MESSAGES_BACK = 2;

  /// Copies the lists and plays the plan.
  ///
  /// @throws IllegalArgumentException if it is no plan; the sentence names the stage and the action
  public PipelinePlan {
    slots = List.copyOf(slots);
    stages = stages.stream().map(List::copyOf).toList();
    new PipelinePlay(trains, List.of(new PipelinePlay.Pipeline(lanes, slots, stages))).play();
  }

  /// Returns the plan of training steps, played beside those of the other pipelines.
  ///
  /// @param stages number of stages
  /// @param perStage chunks of each stage
  /// @param lanes the lanes of this pipeline
  public static PipelinePlan training(
      PipelineSchedule schedule, int stages, int perStage, PipelineLanes lanes) {
    List<List<Turn>> turns =
        IntStream.range(0, stages)
            .mapToObj(
                stage -> StageTurns.training(schedule, stage, stages, perStage, lanes.rounds()))
            .toList();
    return beside(lanes, true, perStage, turns);
  }

  /// Returns the plan of evaluations: lanes go forth, one after another.
  ///
  /// @param stages number of stages
  /// @param perStage chunks of each stage
  /// @param lanes what is evaluated
  public static PipelinePlan evaluation(int stages, int perStage, PipelineLanes lanes) {
    List<List<Turn>> turns =
        IntStream.range(0, stages)
            .mapToObj(stage -> StageTurns.evaluation(stage, stages, perStage, lanes.rounds()))
            .toList();
    return beside(lanes, false, perStage, turns);
  }

  /// Pipelines have as many lanes as there are rounds, or fewer: of each kind one is played.
  private static PipelinePlan beside(
      PipelineLanes lanes, boolean trains, int perStage, List<List<Turn>> turns) {
    PipelinePlan plan = of(lanes, trains, perStage, turns);
    if (lanes.meets()) {
      List<PipelinePlay.Pipeline> all = new ArrayList<>();
      all.add(plan.pipeline());
      for (int count = lanes.rounds(); count >= Math.max(1, lanes.rounds() - 1); count--) {
        all.add(of(lanes.beside(count), trains, perStage, turns).pipeline());
      }
      new PipelinePlay(trains, all).play();
    }
    return plan;
  }

  private static PipelinePlan of(
      PipelineLanes lanes, boolean trains, int perStage, List<List<Turn>> turns) {
    List<Integer> slots =
        new ArrayList<>(Collections.nCopies(turns.size() * perStage, Math.min(2, lanes.count())));
    if (trains) {
      turns.forEach(each -> count(each, lanes.count(), slots));
    }
    slots.set(slots.size() - 1, 1);
    List<List<StageAction>> stages = new ArrayList<>();
    for (List<Turn> each : turns) {
      Writer writer = new Writer(lanes, trains, slots);
      each.forEach(writer::write);
      stages.add(writer.actions);
    }
    return new PipelinePlan(lanes, trains, slots, stages);
  }

  /// Counts the lanes between their ways forth and back, at most, of each chunk of a stage.
  private static void count(List<Turn> turns, int lanes, List<Integer> slots) {
    int[] held = new int[slots.size()];
    int[] most = new int[slots.size()];
    for (Turn turn : turns) {
      if (turn.round() < lanes) {
        held[turn.chunk()] += turn.back() ? -1 : 1;
        most[turn.chunk()] = Math.max(most[turn.chunk()], held[turn.chunk()]);
      }
    }
    for (Turn turn : turns) {
      slots.set(turn.chunk(), Math.max(1, most[turn.chunk()]));
    }
  }

  private PipelinePlay.Pipeline pipeline() {
    return new PipelinePlay.Pipeline(lanes, slots, stages);
  }

  /// Returns the number of lanes.
  public int count() {
    return lanes.count();
  }

  /// Returns the number of chunks of all stages.
  public int chunks() {
    return slots.size();
  }

  /// Returns how many messages back each chunk but the first has memory for.
  public int messagesBack() {
    return Math.min(MESSAGES_BACK, count());
  }

  /// Returns how long a step takes, and how long each stage works in it, where a way forth and a
  /// way back take a chunk so long and messages no time.
  ///
  /// @param forth time of a way forth by chunk; of the last chunk 0, if `back` has both
  /// @param back time of a way back by chunk
  public Times times(double[] forth, double[] back) {
    return new PipelinePlay(trains, List.of(pipeline())).times(forth, back);
  }

  /// How long a step takes.
  ///
  /// @param total from the first action to the last
  /// @param busy how long the stages work, all together
  /// @param stages number of stages
  public record Times(double total, double busy, int stages) {
    /// Returns the share of the stages' time in which they wait.
    public double bubble() {
      return total == 0 ? 0 : 1 - busy / (total * stages);
    }
  }

  /// Writes the actions of one stage.
  private static final class Writer {
    private final PipelineLanes lanes;
    private final boolean trains;
    private final List<Integer> slots;
    private final int last;
    private final int messages;
    private final int[] next; // of the tree's actions, by chunk
    private final List<StageAction> actions = new ArrayList<>();

    Writer(PipelineLanes lanes, boolean trains, List<Integer> slots) {
      this.lanes = lanes;
      this.trains = trains;
      this.slots = slots;
      this.last = slots.size() - 1;
      this.messages = Math.min(MESSAGES_BACK, lanes.count());
      this.next = new int[slots.size()];
    }

    void write(Turn turn) {
      boolean isAbsent = turn.round() >= lanes.count();
      if (isAbsent && lanes.gathers()) {
        actions.add(new StageAction.Lend(turn.chunk(), turn.round(), turn.back()));
      }
      if (!isAbsent && turn.back()) {
        back(turn.chunk(), turn.round());
      } else if (!isAbsent) {
        forth(turn.chunk(), turn.round());
      }
      if (turn.back() && lanes.tree().isEmpty()) {
        actions.add(new StageAction.Reduce(turn.chunk(), turn.round()));
      }
    }

    private void forth(int chunk, int round) {
      int lane = lanes.numbers().get(round);
      int slot = round % slots.get(chunk);
      if (chunk > 0) {
        actions.add(new StageAction.Receive(chunk, lane, slot));
      }
      actions.add(new StageAction.Forward(chunk, lane, slot));
      actions.add(new StageAction.Send(chunk, lane, slot));
    }

    /// The way back of a lane, and the joins behind it.
    private void back(int chunk, int round) {
      int lane = lanes.numbers().get(round);
      int slot = round % slots.get(chunk);
      int message = round % messages;
      if (chunk < last) {
        actions.add(new StageAction.ReceiveGradient(chunk, lane));
      } else if (chunk > 0) {
        actions.add(new StageAction.Receive(chunk, lane, slot));
      }
      actions.add(new StageAction.Backward(chunk, lane, slot, sum(chunk), message));
      if (chunk > 0 && trains) {
        actions.add(new StageAction.SendGradient(chunk, lane, message));
      }
      lanes.tree().ifPresent(tree -> join(chunk, tree));
    }

    private int sum(int chunk) {
      return lanes
          .tree()
          .map(tree -> ((LanePlan.Action.Run) tree.actions().get(next[chunk]++)).slot())
          .orElse(0);
    }

    private void join(int chunk, LanePlan tree) {
      while (next[chunk] < tree.actions().size()
          && tree.actions().get(next[chunk]) instanceof LanePlan.Action.Join(int into, int from)) {
        actions.add(new StageAction.Join(chunk, into, from));
        next[chunk]++;
      }
    }
  }
}
