package dev.lockstep.collective.simulate;

import dev.lockstep.collective.simulate.RankProgram.Op;
import java.util.Arrays;

/// One simulation: programs driven by events in the order of time.
///
/// A rank issues its steps one after another. Its links carry messages one after another at each
/// level and in each direction, in the order in which they are sent and in which their first bytes
/// arrive; where the rank moves messages itself, its one thread does all of this. Latencies are
/// positive and ties are broken within a rank by the place of a step, so that what happens to a
/// rank does not depend on the numbers of the others.
final class Run {
  private static final long UNKNOWN = Long.MIN_VALUE;
  private static final long WAKE = 1L << 31;

  private final Cast cast;
  private final Durations durations;
  private final EventQueue events = new EventQueue();
  private final Progress[] ranks;
  private int[] arriving = new int[8];
  private long handled;

  /// Where a rank is.
  private static final class Progress {
    final RankProgram program;
    final int number;
    int next;
    long clock; // when the rank's thread is free
    final long[] out; // when each level's link is free for sending
    final long[] in;
    final long[] begin; // when each step was issued
    final long[] end; // when it was complete, UNKNOWN before

    /// When a signal came, or a message's last byte at the earliest; its first one where the rank
    /// moves messages itself. UNKNOWN before.
    final long[] arrived;

    /// Which messages the uplink has, where the rank moves messages itself.
    final boolean[] carried;

    Progress(RankProgram program, int number, int levels) {
      this.program = program;
      this.number = number;
      this.out = new long[levels];
      this.in = new long[levels];
      this.begin = new long[program.steps()];
      this.end = new long[program.steps()];
      this.arrived = new long[program.steps()];
      this.carried = new boolean[program.steps()];
      Arrays.fill(begin, UNKNOWN);
      Arrays.fill(end, UNKNOWN);
      Arrays.fill(arrived, UNKNOWN);
    }
  }

  Run(Cast cast, Durations durations, int levels) {
    this.cast = cast;
    this.durations = durations;
    this.ranks = new Progress[cast.programs.size()];
    for (int i = 0; i < ranks.length; i++) {
      ranks[i] = new Progress(cast.programs.get(i), i, levels);
    }
  }

  /// Runs all programs to their end.
  void run() {
    for (Progress rank : ranks) {
      wake(rank, durations.start);
    }
    while (!events.isEmpty()) {
      long time = events.time();
      long key = events.key();
      events.remove();
      handled++;
      Progress rank = ranks[(int) (key >>> 32)];
      if ((int) key < 0) {
        advance(rank, time);
      } else {
        arrive(rank, (int) key, time);
      }
    }
    for (Progress rank : ranks) {
      if (rank.next < rank.program.steps()) {
        throw new IllegalStateException(
            "schedule does not end: rank=%d, step=%d (verify it)"
                .formatted(rank.program.rank, rank.next));
      }
    }
  }

  /// Takes in all messages whose first bytes arrive at one instant.
  private void arrive(Progress rank, int first, long time) {
    int count = 0;
    int step = first;
    while (true) {
      if (count == arriving.length) {
        arriving = Arrays.copyOf(arriving, 2 * count);
      }
      arriving[count++] = step;
      if (events.isEmpty()
          || events.time() != time
          || (int) (events.key() >>> 32) != rank.number
          || (int) events.key() < 0) {
        break;
      }
      step = (int) events.key();
      events.remove();
      handled++;
    }
    if (durations.movesMessages()) {
      for (int i = 0; i < count; i++) {
        moveIn(rank, arriving[i], time);
      }
      return;
    }
    for (int i = 0; i < count; i++) {
      RankProgram program = rank.program;
      int level = program.levels[arriving[i]];
      long busy = Math.max(time, rank.in[level]);
      long joined =
          program.op(arriving[i]) == Op.RECEIVE_REDUCE
              ? durations.joinArrived(program.bytes[arriving[i]])
              : 0;
      rank.in[level] = busy + Math.max(wire(rank, arriving[i]), joined);
    }
    for (int i = 0; i < count; i++) {
      int message = arriving[i];
      long end = Math.max(rank.in[rank.program.levels[message]], rank.arrived[message]);
      if (rank.begin[message] != UNKNOWN) {
        end = Math.max(end, rank.begin[message] + durations.step);
      }
      rank.end[message] = end;
      wake(rank, end);
    }
  }

  /// The rank's thread moves a message whose first byte arrives now; where an uplink is slower, it
  /// does so in time for the last one.
  private void moveIn(Progress rank, int step, long time) {
    int level = rank.program.levels[step];
    long carried = rank.carried[step] ? 0 : carriedIn(rank, step);
    if (carried > 0) {
      rank.carried[step] = true;
      rank.in[level] = Math.max(time, rank.in[level]) + carried;
      long ready = rank.in[level] - durations.moving(level, rank.program.bytes[step]);
      if (ready > time) {
        events.add(ready, (long) rank.number << 32 | step);
        return;
      }
    }
    rank.arrived[step] = time;
    if (rank.begin[step] != UNKNOWN) {
      receive(rank, step, time);
    }
  }

  private long carriedIn(Progress rank, int step) {
    return durations.carried(
        rank.program.levels[step], rank.program.bytes[step], users(rank, step));
  }

  private void wake(Progress rank, long time) {
    events.add(time, (long) rank.number << 32 | WAKE);
  }

  /// Issues a rank's steps until one has to wait.
  private void advance(Progress rank, long time) {
    rank.clock = Math.max(rank.clock, time);
    while (rank.next < rank.program.steps()) {
      int step = rank.next;
      long ready = ready(rank, step);
      if (ready == UNKNOWN) {
        return; // what it waits for wakes the rank
      }
      if (ready > rank.clock) {
        wake(rank, ready);
        return;
      }
      issue(rank, step);
    }
  }

  /// Returns when everything is complete that a step waits for.
  private long ready(Progress rank, int step) {
    long ready = 0;
    for (int earlier : rank.program.waits[step]) {
      long end = rank.end[earlier];
      if (end == UNKNOWN) {
        return UNKNOWN;
      }
      ready = Math.max(ready, end);
    }
    if (rank.program.op(step) == Op.AWAIT) {
      long arrived = rank.arrived[step];
      return arrived == UNKNOWN ? UNKNOWN : Math.max(ready, arrived);
    }
    return ready;
  }

  private void issue(Progress rank, int step) {
    RankProgram program = rank.program;
    Op op = program.op(step);
    if (op == Op.SEND && !durations.movesMessages()) {
      sendBurst(rank, step);
      return;
    }
    rank.next++;
    rank.begin[step] = rank.clock;
    rank.clock += durations.step;
    switch (op) {
      case SEND -> moveOut(rank, step);
      case RECEIVE, RECEIVE_REDUCE -> {
        if (durations.movesMessages()) {
          if (rank.arrived[step] != UNKNOWN) {
            receive(rank, step, rank.clock);
          }
        } else if (rank.end[step] != UNKNOWN) {
          rank.end[step] = Math.max(rank.end[step], rank.clock); // it was here before
        }
      }
      case LOCAL -> {
        rank.clock += program.local[step];
        rank.end[step] = rank.clock;
      }
      case SIGNAL -> {
        rank.end[step] = rank.clock;
        long arrival = rank.clock + durations.signalLatency(program.levels[step]);
        for (long listener : program.listeners[step]) {
          Progress peer = ranks[(int) (listener >>> 32)];
          peer.arrived[(int) listener] = arrival;
          wake(peer, arrival);
        }
      }
      case AWAIT -> rank.end[step] = rank.clock;
    }
  }

  /// Issues messages to one level that are ready now: they start together.
  private void sendBurst(Progress rank, int first) {
    RankProgram program = rank.program;
    int level = program.levels[first];
    int end = first;
    while (end < program.steps()
        && program.op(end) == Op.SEND
        && program.levels[end] == level
        && isReady(rank, end)) {
      rank.begin[end++] = rank.clock;
    }
    rank.clock += durations.step * (end - first);
    long start = Math.max(rank.clock, rank.out[level]);
    long free = start;
    for (int step = first; step < end; step++) {
      free += sendWire(rank, step);
    }
    rank.out[level] = free;
    for (int step = first; step < end; step++) {
      announce(rank, step, start, free);
    }
    rank.next = end;
  }

  private boolean isReady(Progress rank, int step) {
    long ready = ready(rank, step);
    return ready != UNKNOWN && ready <= rank.clock;
  }

  private long sendWire(Progress rank, int step) {
    RankProgram program = rank.program;
    int level = program.levels[step];
    return durations.wire(level, program.bytes[step], cast.senders(program.rank, level));
  }

  /// Tells those who hear a message when its first byte arrives, and its last one at the earliest.
  private void announce(Progress rank, int step, long start, long end) {
    rank.end[step] = end;
    long latency = durations.messageLatency(rank.program.levels[step], rank.program.bytes[step]);
    for (long listener : rank.program.listeners[step]) {
      Progress peer = ranks[(int) (listener >>> 32)];
      if (!durations.movesMessages()) {
        peer.arrived[(int) listener] = end + latency;
      }
      events.add(start + latency, listener);
    }
  }

  /// Returns how long a message takes to arrive: as long as its sender or its receiver is slower.
  private long wire(Progress rank, int step) {
    RankProgram program = rank.program;
    return durations.wire(program.levels[step], program.bytes[step], users(rank, step));
  }

  /// Returns how many share the uplink of a message's sender or its receiver, whichever are more.
  private long users(Progress rank, int step) {
    RankProgram program = rank.program;
    int level = program.levels[step];
    int sender = cast.programs.get(program.matchProgram[step]).rank;
    return Math.max(cast.senders(sender, level), cast.receivers(program.rank, level));
  }

  /// The rank's thread moves a message; where an uplink is slower, the message is through when that
  /// has carried it, and the thread goes on.
  private void moveOut(Progress rank, int step) {
    RankProgram program = rank.program;
    int level = program.levels[step];
    long bytes = program.bytes[step];
    long start = Math.max(rank.clock, rank.out[level]);
    rank.clock += durations.moving(level, bytes);
    long users = cast.senders(program.rank, level);
    rank.out[level] = Math.max(rank.clock, start + durations.carried(level, bytes, users));
    announce(rank, step, start, rank.out[level]);
  }

  /// Takes a message off the wire where the rank's thread does so, from `time` on.
  private void receive(Progress rank, int step, long time) {
    RankProgram program = rank.program;
    long joined =
        program.op(step) == Op.RECEIVE_REDUCE ? durations.joinArrived(program.bytes[step]) : 0;
    long moved = durations.moving(program.levels[step], program.bytes[step]);
    rank.clock = Math.max(time, rank.clock) + moved + joined;
    rank.end[step] = rank.clock;
    wake(rank, rank.clock);
  }

  long begin(int program, int step) {
    return ranks[program].begin[step];
  }

  long end(int program, int step) {
    return ranks[program].end[step];
  }

  /// Returns when a rank was through.
  long finish(int program) {
    long finish = Math.max(ranks[program].clock, durations.start);
    for (long end : ranks[program].end) {
      finish = Math.max(finish, end);
    }
    return finish;
  }

  long handled() {
    return handled;
  }
}
