package dev.lockstep.train.pipeline;

import dev.lockstep.graph.SumTree;
import dev.lockstep.graph.SumTree.Subtree;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// Plays the plans of pipelines side by side: each stage takes its actions in order, a receive
/// waits for its message, memory that a message still stands in is waited for, and what pipelines
/// do together waits for all of them. Whoever comes to the end of a plan so has shown that it does.
final class PipelinePlay {
  private final boolean trains;
  private final List<Pipeline> pipelines;
  private final int chunks;
  private final List<List<Stage>> stages = new ArrayList<>(); // by pipeline
  private double[] forthTimes = {};
  private double[] backTimes = {};

  /// What is played: the parts of a [PipelinePlan].
  record Pipeline(PipelineLanes lanes, List<Integer> slots, List<List<StageAction>> stages) {}

  PipelinePlay(boolean trains, List<Pipeline> pipelines) {
    this.trains = trains;
    this.pipelines = pipelines;
    this.chunks = pipelines.getFirst().slots.size();
    for (Pipeline pipeline : pipelines) {
      int count = pipeline.stages.size();
      boolean isDealtOut = count > 0 && chunks % count == 0 && (count > 1 || chunks == 1);
      if (!isDealtOut || pipeline.slots.size() != chunks) {
        throw new IllegalArgumentException(
            "chunks are dealt out to stages, and each has slots: stages=%d, slots=%s"
                .formatted(count, pipeline.slots));
      }
      List<Stage> all = new ArrayList<>();
      for (int i = 0; i < count; i++) {
        all.add(new Stage(pipeline, i, chunks));
      }
      stages.add(all);
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
  /// @param chunk whose sender it is
  /// @param lane what it is of
  /// @param place slot or message that it stands in at its sender
  /// @param sent when it was sent
  private record Message(int chunk, int lane, int place, double sent) {}

  /// What pipelines do together.
  ///
  /// @param what the action's kind
  private record Meeting(int chunk, int round, String what) {}

  /// How far a chunk has come.
  private static final class Progress {
    final @Nullable Held[] slots;
    final @Nullable Integer[] messages = new @Nullable Integer[PipelinePlan.MESSAGES_BACK];
    final List<@Nullable Subtree> sums = new ArrayList<>();
    @Nullable Integer gradient;
    int forths; // rounds of which the way forth is done
    int backs;
    int reduced;

    Progress(int slots) {
      this.slots = new @Nullable Held[slots];
    }
  }

  /// How far a stage has come.
  private static final class Stage {
    final PipelineLanes lanes;
    final List<StageAction> plan;
    final int number;
    final List<@Nullable Progress> chunks = new ArrayList<>(); // none of those that others have
    final Deque<Message> forth = new ArrayDeque<>();
    final Deque<Message> back = new ArrayDeque<>();
    final List<Meeting> met = new ArrayList<>();
    Optional<Meeting> stands = Optional.empty(); // before what it waits for the others to do
    int at;
    double now;
    double busy;

    Stage(Pipeline pipeline, int number, int chunks) {
      this.lanes = pipeline.lanes;
      this.plan = pipeline.stages.get(number);
      this.number = number;
      for (int chunk = 0; chunk < chunks; chunk++) {
        boolean isOwn = chunk % pipeline.stages.size() == number;
        this.chunks.add(isOwn ? new Progress(pipeline.slots.get(chunk)) : null);
      }
    }
  }

  /// Plays to the end.
  ///
  /// @throws IllegalArgumentException if that does not come, or something is wrong on the way
  void play() {
    boolean moves = true;
    while (moves) {
      moves = false;
      for (int pipeline = 0; pipeline < pipelines.size(); pipeline++) {
        for (Stage stage : stages.get(pipeline)) {
          while (stage.at < stage.plan.size() && take(pipeline, stage, stage.plan.get(stage.at))) {
            stage.at++;
            moves = true;
          }
        }
      }
    }
    for (List<Stage> pipeline : stages) {
      for (Stage stage : pipeline) {
        if (stage.at < stage.plan.size()) {
          throw refusal(stage, "stages wait for one another");
        }
      }
      pipeline.forEach(this::requireDone);
    }
  }

  private void requireDone(Stage stage) {
    stage.at = stage.plan.size() - 1;
    require(
        stage, stage.forth.isEmpty() && stage.back.isEmpty(), "a message is received by nobody");
    for (int number = 0; number < chunks; number++) {
      Progress chunk = stage.chunks.get(number);
      if (chunk != null) {
        requireDone(stage, number, chunk);
      }
    }
  }

  private void requireDone(Stage stage, int number, Progress chunk) {
    boolean sums = trains || isLast(number);
    int rounds = stage.lanes.gathers() ? stage.lanes.rounds() : stage.lanes.count();
    boolean isDone =
        chunk.gradient == null
            && chunk.forths == (isLast(number) ? 0 : rounds)
            && chunk.backs == (sums ? rounds : 0);
    require(stage, isDone, "a lane is not done");
    for (Held held : chunk.slots) {
      boolean isFree = held == null || (!trains && held.state == State.SENT);
      require(stage, isFree, "a lane is not done");
    }
    List<Subtree> left = chunk.sums.stream().filter(Objects::nonNull).toList();
    if (stage.lanes.tree().isEmpty()) {
      boolean isReduced = left.isEmpty() && chunk.reduced == stage.lanes.rounds();
      require(stage, isReduced, "a round is not reduced");
    } else if (sums) {
      List<Subtree> held = stage.lanes.tree().get().held();
      require(stage, left.equals(held), "the lanes are not summed by their tree");
    }
  }

  private boolean isLast(int chunk) {
    return chunk == chunks - 1;
  }

  /// Takes an action if it need not wait.
  private boolean take(int pipeline, Stage stage, StageAction action) {
    List<Stage> all = stages.get(pipeline);
    Progress chunk = action.chunk() >= 0 && action.chunk() < chunks ? own(stage, action) : null;
    if (chunk == null) {
      throw refusal(stage, "the chunk is another stage's");
    }
    return switch (action) {
      case StageAction.Receive receive -> receive(all, stage, chunk, receive);
      case StageAction.Forward forward -> forward(stage, chunk, forward);
      case StageAction.Send send -> send(stage, chunk, send);
      case StageAction.ReceiveGradient receive -> receiveGradient(all, stage, chunk, receive);
      case StageAction.Backward back -> backward(stage, chunk, back);
      case StageAction.SendGradient send -> sendGradient(stage, chunk, send);
      case StageAction.Join(int _, int into, int from) -> join(stage, chunk, into, from);
      case StageAction.Reduce reduce -> reduce(stage, chunk, reduce);
      case StageAction.Lend lend -> lend(stage, chunk, lend);
    };
  }

  private static @Nullable Progress own(Stage stage, StageAction action) {
    return stage.chunks.get(action.chunk());
  }

  private @Nullable Held held(Stage stage, Progress chunk, int slot) {
    require(stage, slot >= 0 && slot < chunk.slots.length, "there is no such slot");
    return chunk.slots[slot];
  }

  private boolean isFree(@Nullable Held held) {
    return held == null || (!trains && held.state == State.SENT);
  }

  private boolean receive(
      List<Stage> all, Stage stage, Progress chunk, StageAction.Receive receive) {
    int number = receive.chunk();
    require(stage, number > 0, "the first chunk receives nothing");
    require(stage, isFree(held(stage, chunk, receive.slot())), "the slot is in use");
    Stage sender = all.get((number - 1) % all.size());
    if (isUnderWay(stage.forth, number, receive.slot()) || sender.forth.isEmpty()) {
      return false;
    }
    Message message = sender.forth.remove();
    require(
        stage,
        message.chunk == number - 1 && message.lane == receive.lane(),
        "the message is another lane's");
    chunk.slots[receive.slot()] = new Held(receive.lane(), State.RECEIVED);
    stage.now = Math.max(stage.now, message.sent);
    return true;
  }

  private boolean forward(Stage stage, Progress chunk, StageAction.Forward forward) {
    Held held = held(stage, chunk, forward.slot());
    require(stage, !isLast(forward.chunk()), "the last chunk computes both ways at once");
    if (forward.chunk() == 0) {
      require(stage, isFree(held), "the slot is in use");
      if (isUnderWay(stage.forth, 0, forward.slot())) {
        return false;
      }
    } else {
      require(
          stage,
          new Held(forward.lane(), State.RECEIVED).equals(held),
          "the lane was not received");
    }
    requireNext(stage, chunk.forths, forward.lane());
    if (stage.lanes.gathers() && !meets(stage, forward.chunk(), chunk.forths, "forth")) {
      return false;
    }
    chunk.forths++;
    chunk.slots[forward.slot()] = new Held(forward.lane(), State.COMPUTED);
    work(stage, forthTimes, forward.chunk());
    return true;
  }

  private void requireNext(Stage stage, int round, int lane) {
    boolean isNext = round < stage.lanes.count() && stage.lanes.numbers().get(round) == lane;
    require(stage, isNext, "lanes come in order, each once");
  }

  private boolean send(Stage stage, Progress chunk, StageAction.Send send) {
    require(
        stage,
        new Held(send.lane(), State.COMPUTED).equals(held(stage, chunk, send.slot())),
        "there is nothing to send");
    chunk.slots[send.slot()] = new Held(send.lane(), State.SENT);
    stage.forth.add(new Message(send.chunk(), send.lane(), send.slot(), stage.now));
    return true;
  }

  private boolean receiveGradient(
      List<Stage> all, Stage stage, Progress chunk, StageAction.ReceiveGradient receive) {
    int number = receive.chunk();
    require(stage, trains && !isLast(number), "nobody sends this chunk a gradient");
    require(stage, chunk.gradient == null, "the last gradient was not used");
    Stage sender = all.get((number + 1) % all.size());
    if (sender.back.isEmpty()) {
      return false;
    }
    Message message = sender.back.remove();
    require(
        stage,
        message.chunk == number + 1 && message.lane == receive.lane(),
        "the gradient is another lane's");
    Progress from = sender.chunks.get(message.chunk);
    if (from != null) {
      from.messages[message.place] = null;
    }
    chunk.gradient = receive.lane();
    stage.now = Math.max(stage.now, message.sent);
    return true;
  }

  private boolean backward(Stage stage, Progress chunk, StageAction.Backward back) {
    int number = back.chunk();
    Held held = held(stage, chunk, back.slot());
    if (isLast(number)) {
      Held wanted = number == 0 ? null : new Held(back.lane(), State.RECEIVED);
      require(stage, Objects.equals(held, wanted), "the lane was not received");
    } else {
      require(stage, trains, "nothing goes back in an evaluation");
      require(
          stage,
          new Held(back.lane(), State.SENT).equals(held)
              && Integer.valueOf(back.lane()).equals(chunk.gradient),
          "the lane's way forth or its gradient is missing");
    }
    requireNext(stage, chunk.backs, back.lane());
    if (number > 0 && trains) {
      require(
          stage,
          back.message() >= 0 && back.message() < chunk.messages.length,
          "there is no such message");
      if (isUnderWay(stage.back, number, back.message())) {
        return false;
      }
      require(stage, chunk.messages[back.message()] == null, "the last gradient was not sent");
    }
    while (chunk.sums.size() <= back.sum()) {
      chunk.sums.add(null);
    }
    require(stage, chunk.sums.get(back.sum()) == null, "the sum is in use");
    if (stage.lanes.gathers() && !meets(stage, number, chunk.backs, "back")) {
      return false;
    }
    if (number > 0 && trains) {
      chunk.messages[back.message()] = back.lane();
    }
    chunk.gradient = null;
    chunk.slots[back.slot()] = null;
    chunk.sums.set(back.sum(), new Subtree(back.lane(), 1));
    chunk.backs++;
    work(stage, backTimes, number);
    return true;
  }

  private boolean sendGradient(Stage stage, Progress chunk, StageAction.SendGradient send) {
    int message = send.message();
    boolean isThere =
        send.chunk() > 0
            && message >= 0
            && message < chunk.messages.length
            && Integer.valueOf(send.lane()).equals(chunk.messages[message])
            && !isUnderWay(stage.back, send.chunk(), message);
    require(stage, isThere, "there is no gradient to send");
    stage.back.add(new Message(send.chunk(), send.lane(), message, stage.now));
    return true;
  }

  private boolean join(Stage stage, Progress chunk, int into, int from) {
    boolean isThere =
        into >= 0 && from >= 0 && into < chunk.sums.size() && from < chunk.sums.size();
    require(stage, isThere, "there is no such sum");
    Subtree left = chunk.sums.get(into);
    Subtree right = chunk.sums.get(from);
    require(stage, left != null && right != null, "a sum is missing");
    if (left != null && right != null) {
      require(
          stage,
          left.end() == right.first() && SumTree.left(left.size() + right.size()) == left.size(),
          "the sums are no neighbours in their tree");
      chunk.sums.set(into, new Subtree(left.first(), left.size() + right.size()));
    }
    chunk.sums.set(from, null);
    return true;
  }

  private boolean reduce(Stage stage, Progress chunk, StageAction.Reduce reduce) {
    require(stage, stage.lanes.tree().isEmpty(), "a stage joins its lanes by itself");
    require(stage, reduce.round() == chunk.reduced, "rounds are reduced in order, each once");
    boolean isAbsent = reduce.round() >= stage.lanes.count();
    boolean isComputed = !stage.lanes.gathers() || chunk.backs > reduce.round();
    require(stage, isComputed, "the round's sums are not there");
    Subtree sum = chunk.sums.isEmpty() ? null : chunk.sums.getFirst();
    Subtree wanted = isAbsent ? null : new Subtree(stage.lanes.numbers().get(reduce.round()), 1);
    require(stage, Objects.equals(sum, wanted), "the round's sums are not there");
    if (!meets(stage, reduce.chunk(), reduce.round(), "reduced")) {
      return false;
    }
    if (sum != null) {
      chunk.sums.set(0, null);
    }
    chunk.reduced++;
    return true;
  }

  private boolean lend(Stage stage, Progress chunk, StageAction.Lend lend) {
    require(
        stage,
        stage.lanes.gathers()
            && lend.round() >= stage.lanes.count()
            && lend.round() < stage.lanes.rounds(),
        "the pipeline has a lane in this round, or nobody has");
    boolean isLast = isLast(lend.chunk());
    boolean isComputed = trains ? lend.back() || !isLast : lend.back() == isLast;
    require(stage, isComputed, "nobody computes this way");
    int done = lend.back() ? chunk.backs : chunk.forths;
    require(stage, done == lend.round(), "rounds come in order, each once");
    if (!meets(stage, lend.chunk(), lend.round(), lend.back() ? "back" : "forth")) {
      return false;
    }
    if (lend.back()) {
      chunk.backs++;
    } else {
      chunk.forths++;
    }
    return true;
  }

  /// Whether the same stage of all pipelines stands before the same, or has done it.
  private boolean meets(Stage stage, int chunk, int round, String what) {
    Meeting mine = new Meeting(chunk, round, what);
    stage.stands = Optional.of(mine);
    int count = stage.met.size();
    for (List<Stage> pipeline : stages) {
      Stage other = pipeline.get(stage.number);
      if (other.met.size() < count) {
        return false;
      }
      Optional<Meeting> theirs =
          other.met.size() > count ? Optional.of(other.met.get(count)) : other.stands;
      if (theirs.isEmpty()) {
        return false;
      }
      require(stage, theirs.get().equals(mine), "pipelines meet for different things");
    }
    stage.met.add(mine);
    stage.stands = Optional.empty();
    return true;
  }

  private static boolean isUnderWay(Deque<Message> messages, int chunk, int place) {
    return messages.stream().anyMatch(message -> message.chunk == chunk && message.place == place);
  }

  private static void work(Stage stage, double[] times, int chunk) {
    if (times.length > 0) {
      stage.now += times[chunk];
      stage.busy += times[chunk];
    }
  }

  /// Plays with a clock.
  PipelinePlan.Times times(double[] forth, double[] back) {
    forthTimes = forth.clone();
    backTimes = back.clone();
    play();
    List<Stage> all = stages.getFirst();
    double total = all.stream().mapToDouble(stage -> stage.now).max().orElse(0);
    double busy = all.stream().mapToDouble(stage -> stage.busy).sum();
    return new PipelinePlan.Times(total, busy, all.size());
  }

  private void require(Stage stage, boolean holds, String rule) {
    if (!holds) {
      throw refusal(stage, rule);
    }
  }

  private static IllegalArgumentException refusal(Stage stage, String rule) {
    return new IllegalArgumentException(
        "no plan of a pipeline: %s: stage=%d, action=%s"
            .formatted(
                rule,
                stage.number,
                stage.at < stage.plan.size() && stage.at >= 0 ? stage.plan.get(stage.at) : "none"));
  }
}
