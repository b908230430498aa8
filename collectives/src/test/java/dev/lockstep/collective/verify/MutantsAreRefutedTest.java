package dev.lockstep.collective.verify;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Requests;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.schedule.Schedule;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.LongAdder;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Every mistake in every step of every algorithm is found. A mutant that the verifier lets pass
/// must be shown to be equivalent: run on numbers with many random timings, it gives the right
/// result every time; in relaxed mode that may be the result of another tree.
@Timeout(600)
final class MutantsAreRefutedTest {
  private static final int TIMINGS = 24;

  /// Mistakes that may change nothing: doing something again that does not read what it writes; the
  /// order of two steps, or of two messages at both ends, that have nothing to do with each other;
  /// another rank's step in which only the operands of a join, which commute, change places;
  /// sending another copy of the same element, where one lies beside it on its way through a group.
  private static final Set<String> MAY_BE_EQUIVALENT =
      Set.of("doubled", "swapped", "reordered", "exchanged", "displaced");

  /// How many of an algorithm's mutants ended how.
  private static final class Count {
    final LongAdder mutants = new LongAdder();
    final LongAdder refuted = new LongAdder();
    final LongAdder equivalent = new LongAdder();

    @Override
    public String toString() {
      return "%d mutants, %d refuted, %d equivalent, %d escaped"
          .formatted(
              mutants.sum(),
              refuted.sum(),
              equivalent.sum(),
              mutants.sum() - refuted.sum() - equivalent.sum());
    }
  }

  // The numbers are those of docs/algorithms.md. A verifier that refutes fewer mutants than before
  // is weaker, whatever random timings say of those that pass: look at them before changing these.
  @ParameterizedTest(name = "P={0}")
  @CsvSource({"2, 19658, 17830"})
  void everyMistakeOfEveryAlgorithmIsFound(int ranks, long mutants, long refuted) {
    findAll(ranks, mutants, refuted);
  }

  @ParameterizedTest(name = "P={0}")
  @CsvSource({"3, 55891, 49922", "4, 99949, 90989"})
  @Tag("long")
  void everyMistakeAmongMoreRanksIsFound(int ranks, long mutants, long refuted) {
    findAll(ranks, mutants, refuted);
  }

  /// Among four ranks, any two steps of one would make too many mutants.
  private static int reach(int ranks) {
    return ranks < 4 ? Integer.MAX_VALUE : 3;
  }

  /// Tries every mutant, on all cores.
  private static void findAll(int ranks, long mutants, long refuted) {
    Map<String, Count> counts = new ConcurrentSkipListMap<>();
    Map<String, Count> kinds = new ConcurrentSkipListMap<>();
    Count all = new Count();
    Queue<String> escaped = new ConcurrentLinkedQueue<>();
    schedules(ranks).parallelStream()
        .forEach(
            schedule -> {
              List<Verdict.Reduction> reductions = reductions(schedule);
              for (Mutants.Mutant mutant : Mutants.of(schedule, reach(ranks))) {
                List<Count> counted =
                    List.of(
                        counts.computeIfAbsent(schedule.algorithm(), _ -> new Count()),
                        kinds.computeIfAbsent(mutant.kind(), _ -> new Count()),
                        all);
                counted.forEach(count -> count.mutants.increment());
                switch (Verifier.verify(mutant.schedule())) {
                  case Verdict.Refused _ -> counted.forEach(count -> count.refuted.increment());
                  case Verdict.Proven proven -> {
                    if (isEquivalent(mutant, reductions, proven)) {
                      counted.forEach(count -> count.equivalent.increment());
                    } else {
                      escaped.add(schedule + ": " + mutant.what());
                    }
                  }
                }
              }
            });
    counts.forEach((algorithm, count) -> System.out.println(algorithm + ": " + count));
    kinds.forEach((kind, count) -> System.out.println(kind + ": " + count));
    System.out.printf("all algorithms, %d ranks: %s%n", ranks, all);
    assertThat(escaped).isEmpty();
    assertThat(all.mutants.sum()).as("mutants").isEqualTo(mutants);
    assertThat(all.refuted.sum()).as("refuted").isEqualTo(refuted);
    assertThat(kinds)
        .containsOnlyKeys(
            "dropped",
            "doubled",
            "swapped",
            "misdirected",
            "displaced",
            "unsignalled",
            "unsent",
            "reordered",
            "exchanged");
    // Recursive doubling of all-gathers and halving of reduce-scatters want a power of two, which
    // ranks in groups are where the others are not.
    assertThat(counts).hasSize(Requests.algorithms().size());
  }

  private static boolean isEquivalent(
      Mutants.Mutant mutant, List<Verdict.Reduction> reductions, Verdict.Proven proven) {
    Schedule schedule = mutant.schedule();
    return MAY_BE_EQUIVALENT.contains(mutant.kind())
        && (isRight(schedule, reductions)
            || (schedule.request().mode() == Mode.RELAXED
                && isRight(schedule, proven.reductions())));
  }

  @ParameterizedTest(name = "P={0}")
  @ValueSource(ints = {2, 3})
  void provenSchedulesAreRightOnNumbers(int ranks) {
    assertAreRightOnNumbers(ranks);
  }

  @Test
  @Tag("long")
  void provenSchedulesAmongFourRanksAreRightOnNumbers() {
    assertAreRightOnNumbers(4);
  }

  private static void assertAreRightOnNumbers(int ranks) {
    for (Schedule schedule : schedules(ranks)) {
      assertThat(isRight(schedule, reductions(schedule))).as(schedule.toString()).isTrue();
    }
  }

  @Test
  void refutedMutantsFailOnNumbersToo() {
    // The interpreter is no weaker than it looks: most mistakes show on numbers as well.
    Random random = new Random(17);
    int refuted = 0;
    int wrong = 0;
    for (Schedule schedule : schedules(3)) {
      List<Verdict.Reduction> reductions = reductions(schedule);
      for (Mutants.Mutant mutant : Mutants.of(schedule, 2)) {
        if (random.nextInt(16) == 0
            && Verifier.verify(mutant.schedule()) instanceof Verdict.Refused) {
          refuted++;
          wrong += isRight(mutant.schedule(), reductions) ? 0 : 1;
        }
      }
    }
    System.out.printf("refuted mutants that fail on numbers: %d of %d%n", wrong, refuted);
    assertThat(wrong).isGreaterThan(refuted * 9 / 10);
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

  private static List<Schedule> schedules(int ranks) {
    List<Schedule> schedules = new ArrayList<>();
    for (CollectiveRequest request : Requests.small(ranks)) {
      for (Algorithm algorithm : Requests.algorithms()) {
        if (algorithm.refusal(request).isEmpty() && algorithm.redundancy(request).isEmpty()) {
          schedules.add(algorithm.schedule(request));
        }
      }
    }
    return schedules;
  }
}
