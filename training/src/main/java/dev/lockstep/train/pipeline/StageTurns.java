package dev.lockstep.train.pipeline;

import java.util.ArrayList;
import java.util.List;

/// In which order a stage takes the ways forth and back of its chunks. Where a stage has one chunk,
/// rounds follow one another; where it has several, they come in groups of as many as there are
/// stages: a group's ways forth through the first chunk, then through the next, and its ways back
/// through the last chunk first (Narayanan et al. 2021, section 2.2).
///
/// A group that is not full is planned as if it were, and what its missing rounds would do is left
/// out: what is left waits for nothing more than before.
final class StageTurns {
  private final int stage;
  private final int stages;
  private final int perStage;
  private final int rounds;
  private final int all;
  private final List<Turn> turns = new ArrayList<>();

  /// One way of a chunk, of the lane of a round.
  ///
  /// @param back whether it is the way back; the last chunk has it alone, for both
  record Turn(boolean back, int chunk, int round) {}

  private StageTurns(int stage, int stages, int perStage, int rounds) {
    this.stage = stage;
    this.stages = stages;
    this.perStage = perStage;
    this.rounds = rounds;
    int padded = perStage == 1 ? rounds : Math.ceilDiv(rounds, stages) * stages;
    this.all = padded * perStage;
  }

  /// Returns the order of a training step.
  ///
  /// @param perStage chunks of a stage
  static List<Turn> training(
      PipelineSchedule schedule, int stage, int stages, int perStage, int rounds) {
    StageTurns turns = new StageTurns(stage, stages, perStage, rounds);
    long ahead = schedule.waitsFor(stage, stages, perStage, turns.all);
    int forth = 0;
    for (int back = 0; back < turns.all; back++) {
      while (forth < turns.all && forth <= back + ahead) {
        turns.forth(forth++);
      }
      turns.back(back);
    }
    return turns.turns;
  }

  /// Returns the order of an evaluation: ways forth alone.
  static List<Turn> evaluation(int stage, int stages, int perStage, int rounds) {
    StageTurns turns = new StageTurns(stage, stages, perStage, rounds);
    for (int turn = 0; turn < turns.all; turn++) {
      if (turns.isLast(turns.level(turn))) {
        turns.add(true, turns.level(turn), turns.round(turn));
      } else {
        turns.forth(turn);
      }
    }
    return turns.turns;
  }

  private void forth(int turn) {
    int level = level(turn);
    if (!isLast(level)) {
      add(false, level, round(turn));
    }
  }

  private void back(int turn) {
    add(true, perStage - 1 - level(turn), round(turn));
  }

  /// Which of the stage's chunks a turn is of.
  private int level(int turn) {
    return perStage == 1 ? 0 : turn % (perStage * stages) / stages;
  }

  private int round(int turn) {
    return perStage == 1 ? turn : turn / (perStage * stages) * stages + turn % stages;
  }

  private boolean isLast(int level) {
    return level == perStage - 1 && stage == stages - 1;
  }

  private void add(boolean back, int level, int round) {
    if (round < rounds) {
      turns.add(new Turn(back, level * stages + stage, round));
    }
  }
}
