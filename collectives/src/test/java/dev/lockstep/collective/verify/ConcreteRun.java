package dev.lockstep.collective.verify;

import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.StableHash;
import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.ScratchSpace;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/// Runs a schedule on numbers, in one thread, with seeded random timing: which rank moves next,
/// when a message leaves its sender's memory, when it arrives, whether links hold messages. Joins
/// commute and do not associate, so that another tree gives other numbers. Independent of the
/// verifier.
final class ConcreteRun {
  private static final int RUNS = 3;

  private static final class Message {
    final Range range;
    final boolean send;
    final boolean joins;
    long @Nullable [] taken;
    boolean done;

    Message(Range range, boolean send, boolean joins) {
      this.range = range;
      this.send = send;
      this.joins = joins;
    }
  }

  private record Link(int from, int to, int slot) {}

  private final List<Verdict.Reduction> reductions;
  private final CollectiveRequest request;
  private final Random random;
  private final boolean buffered;
  private final List<List<Step>> programs = new ArrayList<>();
  private final List<Map<Space, long[]>> memory = new ArrayList<>();
  private boolean wrong;
  private final int[] next;
  private final int[] run;
  private final List<List<Message>> underWay = new ArrayList<>();
  private final Map<Link, ArrayDeque<Message>> sends = new HashMap<>();
  private final Map<Link, ArrayDeque<Message>> receives = new HashMap<>();
  private final Map<Link, Integer> signals = new HashMap<>();

  private ConcreteRun(Schedule schedule, List<Verdict.Reduction> reductions, long seed) {
    this.reductions = reductions;
    this.request = schedule.request();
    this.random = new Random(seed);
    this.buffered = random.nextBoolean();
    this.next = new int[schedule.ranks()];
    this.run = new int[schedule.ranks()];
    for (int rank = 0; rank < schedule.ranks(); rank++) {
      programs.add(schedule.steps(rank));
      underWay.add(new ArrayList<>());
      Map<Space, long[]> spaces = new HashMap<>();
      long[] output = new long[(int) request.outputElements(rank)];
      spaces.put(new Space.Output(), output);
      for (int input = 0; input < request.inputs(rank); input++) {
        boolean shared = input == 0 && request.inPlace();
        spaces.put(
            new Space.Input(input), shared ? output : new long[(int) request.inputElements(rank)]);
      }
      List<ScratchSpace> scratch = schedule.scratch(rank);
      for (int i = 0; i < scratch.size(); i++) {
        spaces.put(new Space.Scratch(i), new long[(int) scratch.get(i).elements()]);
      }
      memory.add(spaces);
    }
  }

  /// Returns whether the schedule ends with the right numbers on every rank, several times in a
  /// row.
  ///
  /// @param reductions the trees that it is to compute
  static boolean isRight(Schedule schedule, List<Verdict.Reduction> reductions, long seed) {
    try {
      return new ConcreteRun(schedule, reductions, seed).run();
    } catch (IndexOutOfBoundsException | NullPointerException _) {
      return false; // touches memory that is not there
    }
  }

  private boolean run() {
    for (int rank = 0; rank < next.length; rank++) {
      enter(rank);
    }
    int idle = 0;
    while (idle < 50 * next.length) {
      int rank = random.nextInt(next.length);
      int burst = 1 + random.nextInt(4);
      boolean moved = deliverSome();
      for (int i = 0; i < burst && run[rank] < RUNS; i++) {
        moved |= advance(rank);
        if (wrong) {
          return false;
        }
      }
      idle = moved ? 0 : idle + 1;
    }
    for (int rank = 0; rank < next.length; rank++) {
      if (run[rank] < RUNS) {
        return false;
      }
    }
    return true;
  }

  private void enter(int rank) {
    for (long[] space : memory.get(rank).values()) {
      for (int i = 0; i < space.length; i++) {
        space[i] = random.nextLong();
      }
    }
    for (int input = 0; input < request.inputs(rank); input++) {
      long[] values = space(rank, new Space.Input(input));
      for (int i = 0; i < values.length; i++) {
        values[i] = contribution(rank, input, run[rank], i);
      }
    }
  }

  private static long contribution(int rank, int input, int run, long element) {
    return StableHash.mix(StableHash.mix(rank, input), StableHash.mix(run, element));
  }

  private static long join(long a, long b) {
    return StableHash.mix(Math.min(a, b), Math.max(a, b));
  }

  /// Returns whether the rank moved; notes wrong results.
  private boolean advance(int rank) {
    boolean atEnd = next[rank] == programs.get(rank).size();
    Step step = atEnd ? null : programs.get(rank).get(next[rank]);
    for (Message message : underWay.get(rank)) {
      if (!message.done && (step == null || waitsFor(step, message))) {
        return false;
      }
    }
    if (step == null) {
      wrong |= !isResultRight(rank);
      run[rank]++;
      next[rank] = 0;
      underWay.get(rank).clear();
      if (run[rank] < RUNS) {
        enter(rank);
      }
      return true;
    }
    if (step instanceof Step.Await(int peer, int slot)) {
      Link link = new Link(peer, rank, slot);
      if (signals.getOrDefault(link, 0) == 0) {
        return false;
      }
      signals.merge(link, -1, Integer::sum);
    } else {
      execute(rank, step);
    }
    next[rank]++;
    return true;
  }

  private boolean isResultRight(int rank) {
    long[] output = space(rank, new Space.Output());
    for (int i = 0; i < output.length; i++) {
      long expected =
          switch (request.kind()) {
            case BROADCAST -> contribution(request.root(), 0, run[rank], i);
            case ALL_REDUCE -> reduced(treeOf(i), run[rank], i);
            default -> throw new IllegalArgumentException("not modelled: " + request.kind());
          };
      if (output[i] != expected) {
        return false;
      }
    }
    for (int other = 0; other < next.length; other++) {
      boolean absent = run[other] < run[rank];
      if (absent && request.kind() == CollectiveKind.BARRIER) {
        return false;
      }
    }
    return true;
  }

  private ReductionTree treeOf(long element) {
    return reductions.stream()
        .filter(part -> element < part.offset() + part.elements())
        .findFirst()
        .orElseThrow()
        .tree();
  }

  private static long reduced(ReductionTree tree, int run, long element) {
    return switch (tree) {
      case ReductionTree.Leaf(int rank, int input) -> contribution(rank, input, run, element);
      case ReductionTree.Join(ReductionTree left, ReductionTree right) ->
          join(reduced(left, run, element), reduced(right, run, element));
    };
  }

  private boolean waitsFor(Step step, Message message) {
    if (step instanceof Step.Signal || (!message.send && message.range.elements() == 0)) {
      return true;
    }
    return switch (step) {
      case Step.Send(_, Range from) -> !message.send && overlap(from, message.range);
      case Step.Receive(_, Range into) -> overlap(into, message.range);
      case Step.ReceiveReduce(_, Range into) -> overlap(into, message.range);
      case Step.Copy(Range from, Range to) ->
          overlap(to, message.range) || (!message.send && overlap(from, message.range));
      case Step.Reduce(Range to, JoinTree tree) -> {
        boolean[] waits = {overlap(to, message.range)};
        tree.forEachSource(source -> waits[0] |= !message.send && overlap(source, message.range));
        yield waits[0];
      }
      case Step.Divide(Range target) -> overlap(target, message.range);
      case Step.Signal _ -> true;
      case Step.Await _ -> false;
    };
  }

  private boolean overlap(Range a, Range b) {
    return a.rank() == b.rank()
        && memory(a).equals(memory(b))
        && a.offset() < b.end()
        && b.offset() < a.end();
  }

  /// Returns the space that a range lies in; in place, input 0 lies in the output.
  private Space memory(Range range) {
    boolean shared = request.inPlace() && range.space().equals(new Space.Input(0));
    return shared ? new Space.Output() : range.space();
  }

  private long[] space(int rank, Space space) {
    return Objects.requireNonNull(memory.get(rank).get(space), "no such memory");
  }

  private void execute(int rank, Step step) {
    switch (step) {
      case Step.Send(int peer, Range from) ->
          post(sends, rank, new Link(rank, peer, 0), new Message(from, true, false));
      case Step.Receive(int peer, Range into) ->
          post(receives, rank, new Link(peer, rank, 0), new Message(into, false, false));
      case Step.ReceiveReduce(int peer, Range into) ->
          post(receives, rank, new Link(peer, rank, 0), new Message(into, false, true));
      case Step.Copy(Range from, Range to) -> store(to, load(from), false);
      case Step.Reduce(Range to, JoinTree tree) -> store(to, evaluate(tree), false);
      case Step.Divide _ -> throw new IllegalArgumentException("not modelled: division");
      case Step.Signal(int peer, int slot) ->
          signals.merge(new Link(rank, peer, slot), 1, Integer::sum);
      case Step.Await _ -> throw new AssertionError("handled by the caller");
    }
  }

  private void post(Map<Link, ArrayDeque<Message>> queues, int rank, Link link, Message message) {
    queues.computeIfAbsent(link, _ -> new ArrayDeque<>()).add(message);
    underWay.get(rank).add(message);
  }

  private boolean deliverSome() {
    boolean moved = false;
    for (Map.Entry<Link, ArrayDeque<Message>> queue : sends.entrySet()) {
      ArrayDeque<Message> awaited = receives.getOrDefault(queue.getKey(), new ArrayDeque<>());
      if (buffered) {
        for (Message message : queue.getValue()) {
          if (message.taken == null && random.nextInt(3) == 0) {
            message.taken = load(message.range);
            message.done = true;
            moved = true;
          }
          if (message.taken == null) {
            break;
          }
        }
      }
      boolean takes = !queue.getValue().isEmpty() && !awaited.isEmpty() && random.nextInt(3) == 0;
      if (takes && (!buffered || queue.getValue().peek().taken != null)) {
        Message send = queue.getValue().remove();
        Message receive = awaited.remove();
        store(receive.range, send.taken != null ? send.taken : load(send.range), receive.joins);
        send.done = true;
        receive.done = true;
        moved = true;
      } else if (!queue.getValue().isEmpty() && !awaited.isEmpty()) {
        moved = true; // will be delivered
      }
    }
    return moved;
  }

  private long[] load(Range range) {
    long[] space = space(range.rank(), range.space());
    long[] values = new long[(int) range.elements()];
    System.arraycopy(space, (int) range.offset(), values, 0, values.length);
    return values;
  }

  private void store(Range range, long[] values, boolean joins) {
    if (values.length != range.elements()) {
      throw new IndexOutOfBoundsException("message does not fit its receive");
    }
    long[] space = space(range.rank(), range.space());
    for (int i = 0; i < values.length; i++) {
      int at = (int) range.offset() + i;
      space[at] = joins ? join(space[at], values[i]) : values[i];
    }
  }

  private long[] evaluate(JoinTree tree) {
    return switch (tree) {
      case JoinTree.Leaf(Range range) -> load(range);
      case JoinTree.Node(JoinTree left, JoinTree right) -> {
        long[] a = evaluate(left);
        long[] b = evaluate(right);
        for (int i = 0; i < a.length; i++) {
          a[i] = join(a[i], b[i]);
        }
        yield a;
      }
    };
  }
}
