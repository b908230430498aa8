package dev.lockstep.collective.verify;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.schedule.Step;
import dev.lockstep.transport.PeerAccess;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// By the last slots between two ranks the executor says that one has given up, or has taken what
/// was sent: no schedule may.
@Timeout(10)
final class SignalSlotsTest {
  private static Verdict barrierOf(int slot) {
    CollectiveRequest request = CollectiveRequest.barrier(Topology.oneNode(2, true));
    return Verifier.verify(
        Schedule.of(
            "barrier of one slot",
            request,
            rank -> List.of(new Step.Signal(1 - rank, slot), new Step.Await(1 - rank, slot)),
            _ -> List.of(),
            rank -> rank));
  }

  @ParameterizedTest(name = "slot={0}")
  @ValueSource(ints = {0, 1, 11})
  void schedulesUseTheirOwn(int slot) {
    assertThat(barrierOf(slot)).isInstanceOf(Verdict.Proven.class);
  }

  @ParameterizedTest(name = "slot={0}")
  @ValueSource(ints = {-1, 12, 13, 14, 15, PeerAccess.SLOTS})
  void whatTheExecutorKeepsIsRefused(int slot) {
    assertThat(barrierOf(slot))
        .isInstanceOfSatisfying(
            Verdict.Refused.class,
            refused ->
                assertThat(refused.reason())
                    .contains("uses a slot that schedules do not have: slots=12")
                    .contains("slot=" + slot));
  }
}
