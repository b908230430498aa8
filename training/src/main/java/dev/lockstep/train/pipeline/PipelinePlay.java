package dev.lockstep.train.pipeline;

import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import dev.lockstep.train.parallel.LanePlan;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Plays a pipeline's plan: each stage takes its actions in order, a receive waits for its message,
/// memory that a message still stands in is waited for. Whoever comes to the end of a plan so has
/// shown that it does.
final class PipelinePlay {
  private final LanePlan lanes;
  private final boolean trains;
  private final List<List<StageAction>> plan;
  private final List<Stage> stages = new ArrayList<>();
  private double[] forthTimes = {};
  private double[] backTimes = {};

  PipelinePlay(LanePlan lanes, boolean trains, List<Integer> slots, List<List<StageAction>> plan) {
    this.lanes = lanes;
    this.trains = trains;
    this.plan = plan;
    if (slots.size() != plan.size() || plan.isEmpty()) {
      throw new IllegalArgumentException(
          "each stage has slots: stages=%d, slots=%s".formatted(plan.size(), slots));
    }
    for (int i = 0; i < plan.size(); i++) {
      stages.add(new Stage(i, slots.get(i)));
    }
  }

  /// Where a lane stands in a slot.
  private enum State {
    RECEIVED,
    COMPUTED,
    SENT
  }

  /// What a slot holds.
  ///
  /// @param lane the lane
  /// @param state how far it has come
  private record Held(int lane, State state) {}

  /// A message under way.
  ///
  /// @param lane what it is of
  /// @param place slot or message that it stands in at its sender
  /// @param sent when it was sent
  private record Message(int lane, int place, double sent) {}

  /// How far a stage has come.
  private static final class Stage {
    final int number;
    final @Nullable Held[] slots;
    final @Nullable Integer[] messages = new @Nullable Integer[PipelinePlan.MESSAGES_BACK];
    final Deque<Message> forth = new ArrayDeque<>();
    final Deque<Message> back = new ArrayDeque<>();
    final List<@Nullable Subtree> sums = new ArrayList<>();
    @Nullable Integer gradient;
    int at;
    int lanesDone;
    double now;
    double busy;

    Stage(int number, int slots) {
      this.number = number;
      this.slots = new @Nullable Held[slots];
    }
  }

  /// Plays to the end.
  ///
  /// @throws IllegalArgumentException if that does not come, or something is wrong on the way
  void play() {
    boolean moves = true;
    while (moves) {
      moves = false;
      for (Stage stage : stages) {
        while (stage.at < plan.get(stage.number).size()
            && take(stage, plan.get(stage.number).get(stage.at))) {
          stage.at++;
          moves = true;
        }
      }
    }
    for (Stage stage : stages) {
      if (stage.at < plan.get(stage.number).size()) {
        throw refusal(stage, "stages wait for one another");
      }
      requireDone(stage);
    }
  }

  private void requireDone(Stage stage) {
    stage.at = plan.get(stage.number).size() - 1;
    if (!stage.forth.isEmpty() || !stage.back.isEmpty()) {
      throw refusal(stage, "a message is received by nobody");
    }
    boolean sums = trains || isLast(stage);
    if (sums && !stage.sums.stream().filter(sum -> sum != null).toList().equals(lanes.held())) {
      throw refusal(stage, "the lanes are not summed by their tree");
    }
    for (Held held : stage.slots) {
      if (held != null && (trains || held.state != State.SENT)) {
        throw refusal(stage, "a lane is not done");
      }
    }
    if (stage.gradient != null || stage.lanesDone != count()) {
      throw refusal(stage, "a lane is not done");
    }
  }

  private int count() {
    return lanes.held().stream().mapToInt(Subtree::size).sum();
  }

  private boolean isLast(Stage stage) {
    return stage.number == stages.size() - 1;
  }

  /// Takes an action if it need not wait.
  private boolean take(Stage stage, StageAction action) {
    return switch (action) {
      case StageAction.Receive(int lane, int slot) -> receive(stage, lane, slot);
      case StageAction.Forward(int lane, int slot) -> forward(stage, lane, slot);
      case StageAction.Send(int lane, int slot) -> send(stage, lane, slot);
      case StageAction.ReceiveGradient(int lane) -> receiveGradient(stage, lane);
      case StageAction.Backward back -> backward(stage, back);
      case StageAction.SendGradient(int lane, int message) -> sendGradient(stage, lane, message);
      case StageAction.Join(int into, int from) -> join(stage, into, from);
    };
  }

  private @Nullable Held held(Stage stage, int slot) {
    require(stage, slot >= 0 && slot < stage.slots.length, "there is no such slot");
    return stage.slots[slot];
  }

  private boolean receive(Stage stage, int lane, int slot) {
    require(stage, stage.number > 0, "the first stage receives nothing");
    Held held = held(stage, slot);
    boolean isFree = held == null || (!trains && held.state == State.SENT);
    require(stage, isFree, "the slot is in use");
    Stage sender = stages.get(stage.number - 1);
    if (isUnderWay(stage.forth, slot) || sender.forth.isEmpty()) {
      return false;
    }
    Message message = sender.forth.remove();
    require(stage, message.lane == lane, "the message is another lane's");
    stage.slots[slot] = new Held(lane, State.RECEIVED);
    stage.now = Math.max(stage.now, message.sent);
    return true;
  }

  private boolean forward(Stage stage, int lane, int slot) {
    Held held = held(stage, slot);
    if (stage.number == 0) {
      boolean isFree = held == null || (!trains && held.state == State.SENT);
      require(stage, isFree, "the slot is in use");
      if (isUnderWay(stage.forth, slot)) {
        return false;
      }
    } else {
      require(stage, new Held(lane, State.RECEIVED).equals(held), "the lane was not received");
    }
    require(stage, !isLast(stage), "the last stage computes both ways at once");
    stage.slots[slot] = new Held(lane, State.COMPUTED);
    work(stage, forthTimes);
    return true;
  }

  private boolean send(Stage stage, int lane, int slot) {
    require(
        stage,
        new Held(lane, State.COMPUTED).equals(held(stage, slot)),
        "there is nothing to send");
    stage.slots[slot] = new Held(lane, State.SENT);
    stage.forth.add(new Message(lane, slot, stage.now));
    if (!trains) {
      stage.lanesDone++;
    }
    return true;
  }

  private boolean receiveGradient(Stage stage, int lane) {
    require(stage, trains && !isLast(stage), "nobody sends this stage a gradient");
    require(stage, stage.gradient == null, "the last gradient was not used");
    Stage sender = stages.get(stage.number + 1);
    if (sender.back.isEmpty()) {
      return false;
    }
    Message message = sender.back.remove();
    require(stage, message.lane == lane, "the gradient is another lane's");
    sender.messages[message.place] = null;
    stage.gradient = lane;
    stage.now = Math.max(stage.now, message.sent);
    return true;
  }

  private boolean backward(Stage stage, StageAction.Backward back) {
    Held held = held(stage, back.slot());
    if (isLast(stage)) {
      Held wanted = stage.number == 0 ? null : new Held(back.lane(), State.RECEIVED);
      require(stage, java.util.Objects.equals(held, wanted), "the lane was not received");
    } else {
      require(stage, trains, "nothing goes back in an evaluation");
      require(
          stage,
          new Held(back.lane(), State.SENT).equals(held)
              && Integer.valueOf(back.lane()).equals(stage.gradient),
          "the lane's way forth or its gradient is missing");
    }
    if (stage.number > 0 && trains) {
      require(
          stage,
          back.message() >= 0 && back.message() < stage.messages.length,
          "there is no such message");
      if (isUnderWay(stage.back, back.message())) {
        return false;
      }
      require(stage, stage.messages[back.message()] == null, "the last gradient was not sent");
      stage.messages[back.message()] = back.lane();
    }
    stage.gradient = null;
    stage.slots[back.slot()] = null;
    while (stage.sums.size() <= back.sum()) {
      stage.sums.add(null);
    }
    require(stage, stage.sums.get(back.sum()) == null, "the sum is in use");
    stage.sums.set(back.sum(), new Subtree(back.lane(), 1));
    stage.lanesDone++;
    work(stage, backTimes);
    return true;
  }

  private boolean sendGradient(Stage stage, int lane, int message) {
    boolean isThere =
        stage.number > 0
            && message >= 0
            && message < stage.messages.length
            && Integer.valueOf(lane).equals(stage.messages[message])
            && !isUnderWay(stage.back, message);
    require(stage, isThere, "there is no gradient to send");
    stage.back.add(new Message(lane, message, stage.now));
    return true;
  }

  private boolean join(Stage stage, int into, int from) {
    boolean isThere =
        into >= 0 && from >= 0 && into < stage.sums.size() && from < stage.sums.size();
    require(stage, isThere, "there is no such sum");
    Subtree left = stage.sums.get(into);
    Subtree right = stage.sums.get(from);
    require(stage, left != null && right != null, "a sum is missing");
    if (left != null && right != null) {
      require(
          stage,
          left.end() == right.first() && SumTree.left(left.size() + right.size()) == left.size(),
          "the sums are no neighbours in their tree");
      stage.sums.set(into, new Subtree(left.first(), left.size() + right.size()));
    }
    stage.sums.set(from, null);
    return true;
  }

  private static boolean isUnderWay(Deque<Message> messages, int place) {
    return messages.stream().anyMatch(message -> message.place == place);
  }

  private static void work(Stage stage, double[] times) {
    if (times.length > 0) {
      stage.now += times[stage.number];
      stage.busy += times[stage.number];
    }
  }

  /// Plays with a clock.
  PipelinePlan.Times times(double[] forth, double[] back) {
    forthTimes = forth.clone();
    backTimes = back.clone();
    play();
    double total = stages.stream().mapToDouble(stage -> stage.now).max().orElse(0);
    double busy = stages.stream().mapToDouble(stage -> stage.busy).sum();
    return new PipelinePlan.Times(total, busy, stages.size());
  }

  private void require(Stage stage, boolean holds, String rule) {
    if (!holds) {
      throw refusal(stage, rule);
    }
  }

  private IllegalArgumentException refusal(Stage stage, String rule) {
    List<StageAction> actions = plan.get(stage.number);
    return new IllegalArgumentException(
        "no plan of a pipeline: %s: stage=%d, action=%s"
            .formatted(
                rule,
                stage.number,
                stage.at < actions.size() && stage.at >= 0 ? actions.get(stage.at) : "none"));
  }
}
