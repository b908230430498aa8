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
import dev.lockstep.graph.ReduceOp;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.function.LongUnaryOperator;
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

  /// A space within an array; in place, input 0 and output are views of one.
  private static final class View {
    final long[] array;
    final int base;
    final int size;

    View(long[] array, int base, long size) {
      this.array = array;
      this.base = base;
      this.size = (int) size;
    }

    static View of(long elements) {
      return new View(new long[(int) elements], 0, elements);
    }

    @SuppressWarnings("ReferenceEquality") // whether it is one memory is the question
    boolean shares(View other) {
      return array == other.array;
    }

    long get(long at) {
      return array[base + Objects.checkIndex((int) at, size)];
    }

    void set(long at, long value) {
      array[base + Objects.checkIndex((int) at, size)] = value;
    }
  }

  private final List<Verdict.Reduction> reductions;
  private final CollectiveRequest request;
  private final Random random;
  private final boolean buffered;
  private final List<List<Step>> programs = new ArrayList<>();
  private final List<Map<Space, View>> memory = new ArrayList<>();
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
      Map<Space, View> spaces = inputsAndOutput(rank);
      List<ScratchSpace> scratch = schedule.scratch(rank);
      for (int i = 0; i < scratch.size(); i++) {
        spaces.put(new Space.Scratch(i), View.of(scratch.get(i).elements()));
      }
      memory.add(spaces);
    }
  }

  private Map<Space, View> inputsAndOutput(int rank) {
    Map<Space, View> spaces = new HashMap<>();
    long in = request.inputElements(rank);
    long out = request.outputElements(rank);
    for (int input = 0; input < request.inputs(rank); input++) {
      spaces.put(new Space.Input(input), View.of(in));
    }
    spaces.put(new Space.Output(), View.of(out));
    if (request.inPlace() && request.inputs(rank) > 0 && out > 0) {
      int inStart = (int) request.inputStart(rank);
      int outStart = (int) request.outputStart(rank);
      long[] array = new long[(int) Math.max(inStart + in, outStart + out)];
      spaces.put(new Space.Input(0), new View(array, inStart, in));
      spaces.put(new Space.Output(), new View(array, outStart, out));
    }
    return spaces;
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
    memory
        .get(rank)
        .forEach(
            (space, view) -> {
              for (int i = 0; !(space instanceof Space.Scratch) && i < view.size; i++) {
                view.set(i, random.nextLong());
              }
            });
    for (int input = 0; input < request.inputs(rank); input++) {
      View values = view(rank, new Space.Input(input));
      for (int i = 0; i < values.size; i++) {
        values.set(i, contribution(rank, input, run[rank], i));
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
    View output = view(rank, new Space.Output());
    for (int i = 0; i < output.size; i++) {
      if (output.get(i) != expected(rank, i)) {
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

  private long expected(int rank, long element) {
    int now = run[rank];
    return switch (request.kind()) {
      case ALL_REDUCE, REDUCE -> result(element, now);
      case REDUCE_SCATTER -> result(request.displacement(rank) + element, now);
      case BROADCAST -> contribution(request.root(), 0, now, element);
      case SCATTER -> contribution(request.root(), 0, now, request.displacement(rank) + element);
      case SEND_RECEIVE -> contribution(Math.floorMod(rank - 1, request.ranks()), 0, now, element);
      case ALL_GATHER, GATHER -> {
        int from = 0;
        while (element >= request.displacement(from) + request.counts().get(from)) {
          from++;
        }
        yield contribution(from, 0, now, element - request.displacement(from));
      }
      case ALL_TO_ALL -> {
        int from = 0;
        while (element >= request.receiveStart(rank, from) + request.count(from, rank)) {
          from++;
        }
        long within = element - request.receiveStart(rank, from);
        yield contribution(from, 0, now, request.sendStart(from, rank) + within);
      }
      case BARRIER -> throw new AssertionError("a barrier has no output");
    };
  }

  private long result(long element, int now) {
    long sum = reduced(treeOf(element), now, element);
    return request.reduceOp() instanceof ReduceOp.Avg ? divided(sum) : sum;
  }

  private static long divided(long sum) {
    return StableHash.mix(sum, 1);
  }

  private static long scaled(long contribution) {
    return StableHash.mix(contribution, 2);
  }

  private ReductionTree treeOf(long element) {
    return reductions.stream()
        .filter(part -> element < part.offset() + part.elements())
        .findFirst()
        .orElseThrow()
        .tree();
  }

  private long reduced(ReductionTree tree, int run, long element) {
    return switch (tree) {
      case ReductionTree.Leaf(int rank, int input) -> {
        long leaf = contribution(rank, input, run, element);
        yield request.reduceOp() instanceof ReduceOp.PreMulSum ? scaled(leaf) : leaf;
      }
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
      case Step.Reduce(Range to, JoinTree tree) -> waitsFor(List.of(to), tree, message);
      case Step.Spread(List<Range> to, JoinTree tree) -> waitsFor(to, tree, message);
      case Step.Swap(Range own, _) -> overlap(own, message.range);
      case Step.Scale(Range from, Range to) ->
          overlap(to, message.range) || (!message.send && overlap(from, message.range));
      case Step.Divide(Range target) -> overlap(target, message.range);
      case Step.Signal _ -> true;
      case Step.Await _ -> false;
    };
  }

  private boolean waitsFor(List<Range> to, JoinTree tree, Message message) {
    boolean[] waits = {to.stream().anyMatch(range -> overlap(range, message.range))};
    tree.forEachSource(source -> waits[0] |= !message.send && overlap(source, message.range));
    return waits[0];
  }

  private boolean overlap(Range a, Range b) {
    if (a.rank() != b.rank()) {
      return false;
    }
    View x = view(a.rank(), a.space());
    View y = view(b.rank(), b.space());
    return x.shares(y)
        && x.base + a.offset() < y.base + b.end()
        && y.base + b.offset() < x.base + a.end();
  }

  private View view(int rank, Space space) {
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
      case Step.Spread(List<Range> to, JoinTree tree) -> {
        long[] joined = evaluate(tree);
        to.forEach(range -> store(range, joined, false));
      }
      case Step.Swap(Range own, Range theirs) -> {
        long[] mine = load(own);
        store(own, load(theirs), false);
        store(theirs, mine, false);
      }
      case Step.Scale(Range from, Range to) ->
          store(to, map(load(from), ConcreteRun::scaled), false);
      case Step.Divide(Range target) ->
          store(target, map(load(target), ConcreteRun::divided), false);
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
    View space = view(range.rank(), range.space());
    long[] values = new long[(int) range.elements()];
    for (int i = 0; i < values.length; i++) {
      values[i] = space.get(range.offset() + i);
    }
    return values;
  }

  private void store(Range range, long[] values, boolean joins) {
    if (values.length != range.elements()) {
      throw new IndexOutOfBoundsException("message does not fit its receive");
    }
    View space = view(range.rank(), range.space());
    for (int i = 0; i < values.length; i++) {
      long at = range.offset() + i;
      space.set(at, joins ? join(space.get(at), values[i]) : values[i]);
    }
  }

  private static long[] map(long[] values, LongUnaryOperator function) {
    return Arrays.stream(values).map(function).toArray();
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
