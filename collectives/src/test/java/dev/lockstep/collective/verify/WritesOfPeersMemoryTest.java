package dev.lockstep.collective.verify;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.algorithm.Requests;
import dev.lockstep.collective.algorithm.SpreadAllReduce;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.schedule.Range;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Space;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.graph.LaneSplit;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What a schedule may not do beside writing peers' memory, or with it. Mistakes in what it does
/// are made by [MutantsAreRefutedTest].
@Timeout(10)
final class WritesOfPeersMemoryTest {
  private static final Space OUTPUT = new Space.Output();

  private static Schedule changed(boolean inPlace, BiConsumer<Integer, List<Step>> change) {
    CollectiveRequest request =
        Requests.allReduce(64, inPlace, LaneSplit.onePerRank(2), true, Mode.SAME_BITS);
    Schedule schedule = new SpreadAllReduce().schedule(request);
    return Schedule.of(
        schedule.algorithm(),
        request,
        rank -> {
          List<Step> steps = new ArrayList<>(schedule.steps(rank));
          change.accept(rank, steps);
          return steps;
        },
        schedule::scratch,
        rank -> rank);
  }

  private static String refusal(boolean inPlace, BiConsumer<Integer, List<Step>> change) {
    Verdict verdict = Verifier.verify(changed(inPlace, change));
    assertThat(verdict).isInstanceOf(Verdict.Refused.class);
    return ((Verdict.Refused) verdict).reason();
  }

  @Test
  void nothingIsRefusedOfWhatIsUnchanged() {
    assertThat(Verifier.verify(changed(true, (_, _) -> {}))).isInstanceOf(Verdict.Proven.class);
    assertThat(Verifier.verify(changed(false, (_, _) -> {}))).isInstanceOf(Verdict.Proven.class);
  }

  @Test
  void messagesBesideAreRefused() {
    BiConsumer<Integer, List<Step>> message =
        (rank, steps) -> {
          Range nothing = new Range(rank, OUTPUT, 0, 0);
          steps.add(rank == 0 ? new Step.Send(1, nothing) : new Step.Receive(0, nothing));
        };
    assertThat(refusal(true, message)).contains("is a message where ranks write each other's");
  }

  @Test
  void inputsOfAPeerAreNotWritten() {
    Range own = new Range(0, OUTPUT, 0, 8);
    Range theirs = new Range(1, new Space.Input(0), 0, 8);
    BiConsumer<Integer, List<Step>> swap =
        (rank, steps) -> {
          if (rank == 0) {
            steps.add(new Step.Swap(own, theirs));
          }
        };
    assertThat(refusal(false, swap)).contains("writes to an input");
  }

  @Test
  void aRankDoesNotReadItsOwnMemoryWhileAPeerMayBeWritingIt() {
    // Rank 0 has signalled: rank 1 may be writing the second half of its output.
    BiConsumer<Integer, List<Step>> look =
        (rank, steps) -> {
          if (rank == 0) {
            Range theirs = new Range(0, OUTPUT, 32, 16);
            steps.add(1, new Step.Copy(theirs, new Range(0, OUTPUT, 0, 16)));
          }
        };
    assertThat(refusal(true, look)).contains("writes what a peer may be reading");
  }
}
