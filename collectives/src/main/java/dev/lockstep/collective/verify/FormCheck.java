package dev.lockstep.collective.verify;

import dev.lockstep.collective.schedule.JoinTree;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.graph.ReduceOp;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What can be seen of each step by itself: ranges inside their memory, lengths that agree, peers
/// that exist, signals that balance, arithmetic that the request asks for.
final class FormCheck {
  private record Counter(int from, int to, int slot) {}

  private final List<List<Step>> programs;
  private final Layout[] layouts;
  private final @Nullable ReduceOp reduceOp;
  private final boolean peerMemory;
  private final boolean writesPeers;
  private final Map<Counter, Integer> balance = new HashMap<>();
  private int rank;
  private int index;

  FormCheck(Schedule schedule, List<List<Step>> programs, Layout[] layouts) {
    this.programs = programs;
    this.layouts = layouts;
    this.reduceOp = schedule.request().reduceOp();
    this.writesPeers = programs.stream().flatMap(List::stream).anyMatch(Step::writesPeers);
    this.peerMemory = schedule.request().topology().peerMemory();
  }

  void run() {
    for (rank = 0; rank < programs.size(); rank++) {
      List<Step> program = programs.get(rank);
      for (index = 0; index < program.size(); index++) {
        check(program.get(index));
      }
    }
    balance.forEach(
        (counter, difference) -> {
          if (difference != 0) {
            throw new RefusedException(
                counter.to(),
                programs.get(counter.to()).size(),
                "signals and awaits differ: from=%d, to=%d, slot=%d, signalsMinusAwaits=%d"
                    .formatted(counter.from(), counter.to(), counter.slot(), difference));
          }
        });
  }

  private void check(Step step) {
    switch (step) {
      case Step.Send(int peer, Range from) -> {
        message(step, peer);
        own(step, from);
      }
      case Step.Receive(int peer, Range into) -> {
        message(step, peer);
        written(step, into);
      }
      case Step.ReceiveReduce(int peer, Range into) -> {
        asked(step, "reduces", reduceOp != null);
        message(step, peer);
        written(step, into);
      }
      case Step.Copy(Range from, Range to) -> moves(step, from, to);
      case Step.Scale(Range from, Range to) -> {
        asked(step, "multiplies", reduceOp instanceof ReduceOp.PreMulSum);
        own(step, from);
        moves(step, from, to);
      }
      case Step.Reduce(Range to, JoinTree tree) -> {
        joins(step, tree);
        written(step, to);
        tree.forEachSource(source -> source(step, source, to));
      }
      case Step.Spread(List<Range> to, JoinTree tree) -> {
        joins(step, tree);
        spreads(step, to, tree);
      }
      case Step.Swap(Range own, Range theirs) -> {
        written(step, own);
        peer(step, theirs.rank());
        writtenAnywhere(step, theirs);
        sameLength(step, own, theirs);
      }
      case Step.Divide(Range target) -> {
        asked(step, "divides", reduceOp instanceof ReduceOp.Avg);
        written(step, target);
      }
      case Step.Signal(int peer, int slot) -> signal(step, peer, new Counter(rank, peer, slot), 1);
      case Step.Await(int peer, int slot) -> signal(step, peer, new Counter(peer, rank, slot), -1);
    }
  }

  /// A join of one source moves it.
  private void joins(Step step, JoinTree tree) {
    asked(step, "reduces", tree instanceof JoinTree.Leaf || reduceOp != null);
  }

  private void asked(Step step, String does, boolean byRequest) {
    if (!byRequest) {
      refuse(step, does + " what its request does not: reduceOp=" + reduceOp);
    }
  }

  private void moves(Step step, Range from, Range to) {
    read(step, from);
    written(step, to);
    sameLength(step, from, to);
    if (place(from).overlaps(place(to))) {
      refuse(step, "moves a range onto itself");
    }
  }

  private void spreads(Step step, List<Range> to, JoinTree tree) {
    for (int i = 0; i < to.size(); i++) {
      Range result = to.get(i);
      writtenAnywhere(step, result);
      tree.forEachSource(source -> source(step, source, result));
      for (Range other : to.subList(0, i)) {
        if (place(other).overlaps(place(result))) {
          refuse(step, "writes one range twice");
        }
      }
    }
  }

  private void source(Step step, Range source, Range to) {
    read(step, source);
    sameLength(step, source, to);
    if (place(source).overlaps(place(to)) && !place(source).equals(place(to))) {
      refuse(step, "joins into a part of a source");
    }
  }

  private void signal(Step step, int peer, Counter counter, int change) {
    peer(step, peer);
    if (!peerMemory) {
      refuse(step, "signals where ranks share no memory");
    }
    if (counter.slot() < 0 || counter.slot() >= Schedule.SIGNAL_SLOTS) {
      refuse(step, "uses a slot that schedules do not have: slots=" + Schedule.SIGNAL_SLOTS);
    }
    balance.merge(counter, change, Integer::sum);
  }

  /// A message may still be read or written when a signal says what a peer has come to.
  private void message(Step step, int peer) {
    peer(step, peer);
    if (writesPeers) {
      refuse(step, "is a message where ranks write each other's memory");
    }
  }

  private void peer(Step step, int peer) {
    if (peer < 0 || peer >= programs.size() || peer == rank) {
      refuse(step, "names a peer that is none");
    }
  }

  private void written(Step step, Range range) {
    own(step, range);
    writtenAnywhere(step, range);
  }

  private void writtenAnywhere(Step step, Range range) {
    read(step, range);
    if (range.space() instanceof Space.Input) {
      refuse(step, "writes to an input");
    }
    if (range.rank() != rank && !(range.space() instanceof Space.Output)) {
      refuse(step, "writes to a peer's " + range.space());
    }
  }

  private void own(Step step, Range range) {
    if (range.rank() != rank) {
      refuse(step, "touches another rank's " + range);
    }
    read(step, range);
  }

  private void read(Step step, Range range) {
    if (range.rank() < 0 || range.rank() >= layouts.length) {
      refuse(step, "reads the memory of a rank that is none");
    }
    Layout layout = layouts[range.rank()];
    long elements = layout.elements(range.space());
    if (elements < 0 || range.end() > elements) {
      refuse(step, "leaves its memory: elements=" + elements + ", range=" + range);
    }
    if (range.rank() != rank && !(peerMemory && layout.isReadableByPeers(range.space()))) {
      refuse(step, "reads what a peer does not share: " + range);
    }
  }

  private void sameLength(Step step, Range from, Range to) {
    if (from.elements() != to.elements()) {
      refuse(step, "has ranges of two lengths");
    }
  }

  private Place place(Range range) {
    return layouts[range.rank()].place(range);
  }

  private void refuse(Step step, String what) {
    throw new RefusedException(
        rank, index, "step %s: rank=%d, step=%d, %s".formatted(what, rank, index, step));
  }
}
