package dev.lockstep.collective.verify;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import java.util.ArrayList;
import java.util.List;

/// Proves or refutes a schedule, by running it over symbolic values.
///
/// A proven schedule, run again and again on any FIFO timing and with links that hold any number of
/// messages, none included: always ends; leaves in each output each contribution exactly as often
/// as asked; pairs every message with a receive of its length; reads no peer's range that its owner
/// may be writing; and reduces by the trees that the verdict names. In same-bits mode a schedule
/// with another tree than T is refused.
public final class Verifier {
  private Verifier() {}

  /// Returns what is found; deterministic. Takes time and memory in proportion to the steps of all
  /// ranks times the number of ranks.
  public static Verdict verify(Schedule schedule) {
    List<List<Step>> programs = new ArrayList<>();
    Layout[] layouts = new Layout[schedule.ranks()];
    long steps = 0;
    for (int rank = 0; rank < layouts.length; rank++) {
      programs.add(schedule.steps(rank));
      layouts[rank] = new Layout(schedule, rank);
      steps += programs.getLast().size();
    }
    try {
      new FormCheck(schedule, programs, layouts).run();
      Outcome outcome = new SymbolicRun(schedule, programs, layouts).run();
      return conclude(schedule.request(), outcome.reductions(), steps);
    } catch (RefusedException refused) {
      return refused.verdict();
    }
  }

  private static Verdict conclude(
      CollectiveRequest request, List<Verdict.Reduction> reductions, long steps) {
    if (!request.kind().reduces()) {
      return new Verdict.Proven(reductions, false, steps);
    }
    ReductionTree lanes = ReductionTree.ofLanes(request);
    for (Verdict.Reduction reduction : reductions) {
      if (!reduction.tree().equals(lanes)) {
        return request.mode() == Mode.SAME_BITS
            ? new Verdict.Refused(
                "reduces by another tree than the lanes': elements=[%d, %d), tree=%s, lanes=%s"
                    .formatted(
                        reduction.offset(),
                        reduction.offset() + reduction.elements(),
                        reduction.tree(),
                        lanes),
                0,
                0)
            : new Verdict.Proven(reductions, false, steps);
      }
    }
    return new Verdict.Proven(reductions, true, steps);
  }
}
