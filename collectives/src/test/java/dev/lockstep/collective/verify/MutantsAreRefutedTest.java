package dev.lockstep.collective.verify;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.algorithm.Requests;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.schedule.Schedule;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// Every mistake in every step of every algorithm is found. A mutant that the verifier lets pass
/// must be shown to be equivalent: run on numbers with many random timings, it gives the right
/// result every time.
@Timeout(120)
final class MutantsAreRefutedTest {
  private static final int TIMINGS = 24;

  /// Mistakes that may change nothing: doing something again that does not read what it writes, and
  /// the order of two steps that have nothing to do with each other.
  private static final Set<String> MAY_BE_EQUIVALENT = Set.of("doubled", "swapped");

  @Test
  void everyMistakeOfEveryAlgorithmIsFound() {
    Map<String, int[]> counts = new TreeMap<>();
    List<String> escaped = new ArrayList<>();
    for (Schedule schedule : schedules()) {
      List<Verdict.Reduction> reductions = reductions(schedule);
      for (Mutants.Mutant mutant : Mutants.of(schedule)) {
        int[] count = counts.computeIfAbsent(schedule.algorithm(), _ -> new int[3]);
        count[0]++;
        if (Verifier.verify(mutant.schedule()) instanceof Verdict.Refused) {
          count[1]++;
        } else if (MAY_BE_EQUIVALENT.contains(mutant.kind())
            && isRight(mutant.schedule(), reductions)) {
          count[2]++;
        } else {
          escaped.add(schedule + ": " + mutant.what());
        }
      }
    }
    counts.forEach(
        (algorithm, count) ->
            System.out.printf(
                "mutants of %s: %d, refuted %d, equivalent %d, escaped %d%n",
                algorithm, count[0], count[1], count[2], count[0] - count[1] - count[2]));
    assertThat(escaped).isEmpty();
    assertThat(counts).hasSize(Algorithms.all().size());
  }

  @Test
  void provenSchedulesAreRightOnNumbers() {
    for (Schedule schedule : schedules()) {
      assertThat(isRight(schedule, reductions(schedule))).as(schedule.toString()).isTrue();
    }
  }

  @Test
  void refutedMutantsFailOnNumbersToo() {
    // The interpreter is no weaker than it looks: most mistakes show on numbers as well.
    int refuted = 0;
    int wrong = 0;
    for (Schedule schedule : schedules()) {
      if (schedule.ranks() == 3) {
        List<Verdict.Reduction> reductions = reductions(schedule);
        for (Mutants.Mutant mutant : Mutants.of(schedule)) {
          if (Verifier.verify(mutant.schedule()) instanceof Verdict.Refused) {
            refuted++;
            wrong += isRight(mutant.schedule(), reductions) ? 0 : 1;
          }
        }
      }
    }
    System.out.printf("refuted mutants that fail on numbers: %d of %d%n", wrong, refuted);
    assertThat(wrong).isGreaterThan(refuted * 8 / 10);
  }

  private static List<Verdict.Reduction> reductions(Schedule schedule) {
    Verdict verdict = Verifier.verify(schedule);
    assertThat(verdict).isInstanceOf(Verdict.Proven.class);
    return ((Verdict.Proven) verdict).reductions();
  }

  private static boolean isRight(Schedule schedule, List<Verdict.Reduction> reductions) {
    for (int seed = 0; seed < TIMINGS; seed++) {
      if (!ConcreteRun.isRight(schedule, reductions, seed)) {
        return false;
      }
    }
    return true;
  }

  private static List<Schedule> schedules() {
    List<Schedule> schedules = new ArrayList<>();
    for (int ranks = 2; ranks <= 4; ranks++) {
      for (CollectiveRequest request : Requests.small(ranks)) {
        for (Algorithm algorithm : Algorithms.applicable(request)) {
          schedules.add(algorithm.schedule(request));
        }
      }
    }
    return schedules;
  }
}
