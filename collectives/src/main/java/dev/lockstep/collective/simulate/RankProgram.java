package dev.lockstep.collective.simulate;

import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import java.util.Arrays;
import java.util.List;

/// One rank's steps in the form that is simulated: arrays by step.
final class RankProgram {
  /// What a step does.
  enum Op {
    SEND,
    RECEIVE,
    RECEIVE_REDUCE,
    LOCAL,
    SIGNAL,
    AWAIT
  }

  private static final long[] NOBODY = {};
  private static final int[] NO_STEPS = {};

  final int rank;
  private final Op[] ops;
  final byte[] levels;
  final int[] peers;
  final int[] slots;
  final long[] bytes;

  /// For each step the earlier messages that it waits for.
  final int[][] waits;

  /// Duration of local steps, picoseconds.
  final long[] local;

  /// Of sends and signals: the program that stands for whom they are for. Of receives and awaits:
  /// the program and step that stand for where they come from.
  final int[] matchProgram;

  final int[] matchStep;

  /// Of sends and signals: the programs and steps that hear them, each as program and step in one
  /// number.
  final long[][] listeners;

  /// Whether the step that is compiled comes after a signal, so that peers may have read memory.
  private boolean signalled;

  private int[] bursts = NO_STEPS; // for each step the first of its burst
  private long[] outgoing = NOBODY; // sorted: (peer, step), see key()

  RankProgram(Schedule schedule, Durations durations, int rank) {
    this.rank = rank;
    List<Step> steps = schedule.steps(rank);
    int count = steps.size();
    this.ops = new Op[count];
    this.levels = new byte[count];
    this.peers = new int[count];
    this.slots = new int[count];
    this.bytes = new long[count];
    this.local = new long[count];
    this.waits = new int[count][];
    this.matchProgram = new int[count];
    this.matchStep = new int[count];
    this.listeners = new long[count][];
    Arrays.fill(listeners, NOBODY);
    Arrays.fill(matchProgram, -1);
    OpenMessages open = new OpenMessages(schedule.request(), rank);
    int at = 0;
    for (Step step : steps) {
      compile(at++, step, open, durations, schedule.request().dtype().bytes());
    }
  }

  int steps() {
    return ops.length;
  }

  Op op(int step) {
    return ops[step];
  }

  private void compile(
      int at, Step step, OpenMessages open, Durations durations, int elementBytes) {
    switch (step) {
      case Step.Send(int peer, Range from) -> {
        open.touch(from, false);
        waits[at] = open.take();
        open.post(at, from, false);
        message(at, Op.SEND, peer, from, durations, elementBytes);
      }
      case Step.Receive(int peer, Range into) -> {
        open.touch(into, true);
        waits[at] = open.take();
        open.post(at, into, true);
        message(at, Op.RECEIVE, peer, into, durations, elementBytes);
      }
      case Step.ReceiveReduce(int peer, Range into) -> {
        open.touch(into, true);
        waits[at] = open.take();
        open.post(at, into, true);
        message(at, Op.RECEIVE_REDUCE, peer, into, durations, elementBytes);
      }
      case Step.Copy(Range from, Range to) -> {
        open.touch(from, false);
        open.touch(to, true);
        local(at, open, durations.copy(rank, from, to, to.elements() * elementBytes, signalled));
      }
      case Step.Reduce(Range to, JoinTree tree) -> {
        open.touch(to, true);
        tree.forEachSource(source -> open.touch(source, false));
        local(at, open, durations.reduce(rank, to, tree, elementBytes));
      }
      case Step.Spread(List<Range> to, JoinTree tree) -> {
        to.forEach(range -> open.touch(range, true));
        tree.forEachSource(source -> open.touch(source, false));
        local(at, open, durations.spread(rank, to, tree, elementBytes));
      }
      case Step.Swap(Range own, Range theirs) -> {
        open.touch(own, true);
        local(at, open, durations.swap(rank, theirs, own.elements() * elementBytes));
      }
      case Step.Scale(Range from, Range to) -> {
        open.touch(from, false);
        open.touch(to, true);
        local(at, open, durations.divide(to.elements() * elementBytes));
      }
      case Step.Divide(Range target) -> {
        open.touch(target, true);
        local(at, open, durations.divide(target.elements() * elementBytes));
      }
      case Step.Signal(int peer, int slot) -> {
        signalled = true;
        open.awaitAll();
        waits[at] = open.take();
        signal(at, Op.SIGNAL, peer, slot, durations);
      }
      case Step.Await(int peer, int slot) -> {
        waits[at] = open.take();
        signal(at, Op.AWAIT, peer, slot, durations);
      }
    }
  }

  private void message(
      int at, Op op, int peer, Range range, Durations durations, int elementBytes) {
    ops[at] = op;
    peers[at] = peer;
    slots[at] = -1;
    bytes[at] = range.elements() * elementBytes;
    levels[at] = durations.level(rank, peer);
  }

  private void local(int at, OpenMessages open, long picos) {
    waits[at] = open.take();
    ops[at] = Op.LOCAL;
    peers[at] = -1;
    local[at] = picos;
  }

  private void signal(int at, Op op, int peer, int slot, Durations durations) {
    ops[at] = op;
    peers[at] = peer;
    slots[at] = slot;
    levels[at] = durations.level(rank, peer);
  }

  boolean isOutgoing(int step) {
    return ops[step] == Op.SEND || ops[step] == Op.SIGNAL;
  }

  void addListener(int step, int program, int listener) {
    long[] more = Arrays.copyOf(listeners[step], listeners[step].length + 1);
    more[more.length - 1] = (long) program << 32 | listener;
    listeners[step] = more;
  }

  /// Returns the first step of the burst that a step is in: steps next to each other that do the
  /// same, as long, at one level, for the same kind of rank.
  int burst(int step) {
    if (bursts.length == 0) {
      bursts = new int[steps()];
      for (int at = 1; at < bursts.length; at++) {
        boolean same =
            ops[at] == ops[at - 1]
                && ops[at] == Op.SEND
                && bytes[at] == bytes[at - 1]
                && levels[at] == levels[at - 1]
                && matchProgram[at] == matchProgram[at - 1];
        bursts[at] = same ? bursts[at - 1] : at;
      }
    }
    return bursts[step];
  }

  /// Returns the step of the n-th message (slot -1) or signal of this rank for a peer, or -1.
  int outgoing(int peer, int slot, int n) {
    if (outgoing.length == 0) {
      outgoing = indexOutgoing();
    }
    long from = key(peer, 0);
    int at = Arrays.binarySearch(outgoing, from);
    int seen = 0;
    for (int i = at < 0 ? -at - 1 : at; i < outgoing.length; i++) {
      int step = (int) outgoing[i];
      if (peers[step] != peer) {
        return -1;
      }
      if (slots[step] == slot && seen++ == n) {
        return step;
      }
    }
    return -1;
  }

  private long[] indexOutgoing() {
    long[] keys = new long[steps()];
    int count = 0;
    for (int step = 0; step < keys.length; step++) {
      if (op(step) == Op.SEND || op(step) == Op.SIGNAL) {
        keys[count++] = key(peers[step], step);
      }
    }
    long[] sorted = Arrays.copyOf(keys, count);
    Arrays.sort(sorted);
    return sorted;
  }

  private static long key(int peer, int step) {
    return (long) peer << 32 | step;
  }

  /// Returns whether a step of another rank's program takes as long and waits for the same.
  boolean isLike(RankProgram other, int step) {
    return ops[step] == other.ops[step]
        && levels[step] == other.levels[step]
        && bytes[step] == other.bytes[step]
        && local[step] == other.local[step]
        && Arrays.equals(waits[step], other.waits[step]);
  }
}
