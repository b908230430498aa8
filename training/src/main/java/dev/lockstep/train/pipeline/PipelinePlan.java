package dev.lockstep.train.pipeline;

import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.train.parallel.LanePlan;
import java.util.ArrayList;
import java.util.List;

/// What each stage of a pipeline does in a step, in order. Making one plays it: a plan in which a
/// message is missing, comes twice or goes astray, a lane's memory is overwritten while it is
/// needed, the lanes are not summed by their tree, or all stages wait for one another, cannot be
/// made.
///
/// @param lanes how the lanes are summed, on every stage alike
/// @param trains whether there is a way back; else lanes go forth and the last stage sums what
///   comes out
/// @param slots how many lanes each stage keeps something of at once
/// @param stages what each stage does
public record PipelinePlan(
    LanePlan lanes, boolean trains, List<Integer> slots, List<List<StageAction>> stages) {
  /// Messages back that a stage may have under way: one is read while the next is written.
  static final int MESSAGES_BACK = 2;

  /// Copies the lists and plays the plan.
  ///
  /// @throws IllegalArgumentException if it is no plan; the sentence names the stage and the action
  public PipelinePlan {
    slots = List.copyOf(slots);
    stages = stages.stream().map(List::copyOf).toList();
    new PipelinePlay(lanes, trains, slots, stages).play();
  }

  /// Returns the plan of training steps.
  ///
  /// @param stages number of stages
  /// @param lanes the lanes of this pipeline and their tree
  public static PipelinePlan training(PipelineSchedule schedule, int stages, LanePlan lanes) {
    int count = laneCount(lanes);
    List<Integer> slots = new ArrayList<>();
    List<List<StageAction>> actions = new ArrayList<>();
    for (int stage = 0; stage < stages; stage++) {
      slots.add(schedule.inFlight(stage, stages, count));
      Writer writer = new Writer(stage, stages, slots.getLast(), lanes, true);
      int ahead = stage == stages - 1 ? 0 : schedule.waitsFor(stage, stages, count) + 1;
      for (int i = 0; i < count; i++) {
        while (ahead > 0 && writer.forths < Math.min(count, i + ahead)) {
          writer.forth();
        }
        writer.back();
      }
      actions.add(writer.actions);
    }
    return new PipelinePlan(lanes, true, slots, actions);
  }

  /// Returns the plan of evaluations: lanes go forth, one after another.
  ///
  /// @param stages number of stages
  /// @param lanes what is evaluated and its tree
  public static PipelinePlan evaluation(int stages, LanePlan lanes) {
    int count = laneCount(lanes);
    List<Integer> slots = new ArrayList<>();
    List<List<StageAction>> actions = new ArrayList<>();
    for (int stage = 0; stage < stages; stage++) {
      slots.add(stage == stages - 1 ? 1 : Math.min(2, count));
      Writer writer = new Writer(stage, stages, slots.getLast(), lanes, false);
      for (int i = 0; i < count; i++) {
        if (stage == stages - 1) {
          writer.back();
        } else {
          writer.forth();
        }
      }
      actions.add(writer.actions);
    }
    return new PipelinePlan(lanes, false, slots, actions);
  }

  private static int laneCount(LanePlan lanes) {
    return lanes.held().stream().mapToInt(Subtree::size).sum();
  }

  /// Returns the number of lanes.
  public int count() {
    return laneCount(lanes);
  }

  /// Returns how many messages back each stage but the first has memory for.
  public int messagesBack() {
    return Math.min(MESSAGES_BACK, count());
  }

  /// Returns how long a step takes, and how long each stage works in it, where a way forth and a
  /// way back take a stage so long and messages no time.
  ///
  /// @param forth time of a way forth by stage; of the last stage 0, if `back` has both
  /// @param back time of a way back by stage
  public Times times(double[] forth, double[] back) {
    return new PipelinePlay(lanes, trains, slots, stages).times(forth, back);
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
    private final int stage;
    private final int stages;
    private final int slots;
    private final boolean trains;
    private final List<LanePlan.Action> backs;
    private final int first;
    private final int messages;
    private final List<StageAction> actions = new ArrayList<>();
    private int forths;
    private int next;

    Writer(int stage, int stages, int slots, LanePlan lanes, boolean trains) {
      this.stage = stage;
      this.stages = stages;
      this.slots = slots;
      this.trains = trains;
      this.backs = lanes.actions();
      this.first = lanes.held().getFirst().first();
      this.messages = Math.min(MESSAGES_BACK, laneCount(lanes));
    }

    void forth() {
      int lane = first + forths;
      int slot = forths % slots;
      forths++;
      if (stage > 0) {
        actions.add(new StageAction.Receive(lane, slot));
      }
      actions.add(new StageAction.Forward(lane, slot));
      actions.add(new StageAction.Send(lane, slot));
    }

    /// The way back of the next lane, and the joins behind it.
    void back() {
      LanePlan.Action.Run run = (LanePlan.Action.Run) backs.get(next++);
      int index = run.lane() - first;
      int slot = index % slots;
      int message = index % messages;
      if (stage < stages - 1) {
        actions.add(new StageAction.ReceiveGradient(run.lane()));
      } else if (stage > 0) {
        actions.add(new StageAction.Receive(run.lane(), slot));
      }
      actions.add(new StageAction.Backward(run.lane(), slot, run.slot(), message));
      if (stage > 0 && trains) {
        actions.add(new StageAction.SendGradient(run.lane(), message));
      }
      while (next < backs.size() && backs.get(next) instanceof LanePlan.Action.Join join) {
        actions.add(new StageAction.Join(join.into(), join.from()));
        next++;
      }
    }
  }
}
