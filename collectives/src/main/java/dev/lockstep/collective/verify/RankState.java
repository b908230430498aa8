package dev.lockstep.collective.verify;

import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/// Where a rank stands in a symbolic run.
final class RankState {
  final int rank;
  final List<Step> program;
  final List<SymbolicMemory> memories;

  /// For each rank how many of its steps surely happened before this rank's next one; at `rank`
  /// itself the number of its own steps so far, the writes of its owner between runs among them.
  final int[] clock;

  /// Messages whose completion this rank has not seen yet.
  final List<Message> underWay = new ArrayList<>();

  int next;
  int run;

  /// Whether the rank's owner is writing inputs and output before a run.
  boolean entering;

  RankState(int rank, int ranks, List<Step> program, List<SymbolicMemory> memories) {
    this.rank = rank;
    this.program = program;
    this.memories = memories;
    this.clock = new int[ranks];
  }

  /// Returns this rank's position: the number of its next step.
  int position() {
    return clock[rank];
  }

  void learn(int[] other) {
    for (int i = 0; i < clock.length; i++) {
      clock[i] = Math.max(clock[i], other[i]);
    }
  }

  /// Sees that a message is complete: what it wrote is ordered before this rank's next step.
  void absorb(Message message) {
    learn(message.clock);
    if (message.writes) {
      for (SymbolicMemory.Stretch stretch : cut(message.place).values()) {
        stretch.written = position();
        stretch.writer = SymbolicMemory.OWNER;
      }
    }
    underWay.remove(message);
  }

  Map<Long, SymbolicMemory.Stretch> cut(Place place) {
    return memories.get(place.memory()).cut(place.from(), place.to());
  }

  String describe(int step) {
    if (entering) {
      return "rank=%d, by its owner after run %d".formatted(rank, run - 1);
    }
    return step < program.size()
        ? "rank=%d, step=%d, %s".formatted(rank, step, program.get(step))
        : "rank=%d, at the end".formatted(rank);
  }
}
