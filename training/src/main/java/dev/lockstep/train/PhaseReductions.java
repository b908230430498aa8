package dev.lockstep.train;

import dev.lockstep.train.parallel.Exchange;
import dev.lockstep.train.parallel.LaneRunner;
import java.util.ArrayList;
import java.util.List;

/// The reductions of a lane's gradients to shards while the lane computes: those that a phase has
/// made are reduced during the next one. Running allocates nothing.
final class PhaseReductions implements GatheredProgram.PhaseListener {
  private static final Exchange.Prepared[] NONE = {};

  private final Exchange.Prepared[][] byPhase;
  private Exchange.Prepared[] pending = NONE;

  private PhaseReductions(Exchange.Prepared[][] byPhase) {
    this.byPhase = byPhase;
  }

  /// Prepares the reductions of a round.
  ///
  /// @param program what makes the gradients
  /// @param gradients when it makes them
  /// @param groups of which gradients
  static PhaseReductions of(
      GatherPlan program,
      GradientPlan gradients,
      List<Integer> groups,
      ShardSums shards,
      int round) {
    Exchange.Prepared[][] byPhase = new Exchange.Prepared[program.phases().size()][];
    for (int phase = 0; phase < byPhase.length; phase++) {
      List<Exchange.Prepared> reductions = new ArrayList<>();
      for (int group : groups) {
        if (gradients.last().getOrDefault(group, -1) == phase) {
          reductions.addAll(shards.reductions(round, group));
        }
      }
      byPhase[phase] = reductions.toArray(Exchange.Prepared[]::new);
    }
    return new PhaseReductions(byPhase);
  }

  @Override
  public void at(int phase) {
    await();
    pending = byPhase[phase];
    for (Exchange.Prepared reduction : pending) {
      reduction.start();
    }
  }

  /// Waits for the reductions that were started.
  void await() {
    for (Exchange.Prepared reduction : pending) {
      reduction.await();
    }
    pending = NONE;
  }

  /// Returns what runs a program that these hear of, and waits for the last of them.
  LaneRunner.Run awaitedAfter(LaneRunner.Run program) {
    return stream -> {
      program.run(stream);
      await();
    };
  }
}
