package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// What EFA says of operations that fail, and of an endpoint that does: whoever waits hears of it
/// at once, not at the deadline.
@Timeout(30)
final class EfaFaultsTest {
  private static final int WORLD = 1;
  private static final int BYTES = 1_000_000;
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  private final EfaNetwork network = new EfaNetwork();

  @TempDir private Path directory;

  private TransportHarness open(int ranks) {
    return EfaDevice.open(ranks, directory, network, EfaCard.of("rdmap0s6-rdm", "efa"));
  }

  private static Engine engine(TransportHarness ranks, int rank) {
    return ((FabricTransport) ranks.transport(rank)).engine();
  }

  /// Has nobody wait for the farewells of two that have lost each other.
  private static void part(TransportHarness ranks) {
    for (int rank = 0; rank < 2; rank++) {
      Engine engine = engine(ranks, rank);
      engine.hold();
      engine.peers().lost(1 - rank, new IllegalStateException("parted"));
      engine.letGo();
    }
  }

  @Test
  void messageThatDoesNotGetThereFailsTheLinksOfItsPeer() {
    try (TransportHarness ranks = open(3)) {
      Pair link = ranks.link(0, 1, WORLD);
      Pair other = ranks.link(2, 1, WORLD);
      ranks.until(((ReceiveLink) link.receiver())::isGreeted);
      ranks.until(((ReceiveLink) other.receiver())::isGreeted);
      Transfer asked = receive(ranks.zeros(1, BYTES), WORLD, 0);
      Transfer spared = receive(ranks.zeros(1, 4), WORLD, 0);
      ranks.post(other.receiver(), spared);
      network.faults(1).failSend(); // the grant
      ranks.post(link.receiver(), asked);
      assertThat(ranks.failure(asked))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("operation=fi_send, endpoint=rank 0, error=113")
          .hasMessageContaining("providerSays=" + EfaFaults.WORDS);
      assertThat(spared.failure()).isNull();
    }
    assertThat(network.offences()).isEmpty();
  }

  @Test
  void writeThatDoesNotGetThereFailsItsMessage() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Transfer sent = send(ranks.random(0, BYTES, 1), WORLD, 0);
      network.faults(0).failWrite();
      ranks.post(link.sender(), sent);
      ranks.post(link.receiver(), receive(ranks.zeros(1, BYTES), WORLD, 0));
      assertThat(ranks.failure(sent))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("operation=fi_write")
          .hasMessageContaining("providerSays=" + EfaFaults.WORDS);
      part(ranks);
    }
    assertThat(network.offences()).isEmpty();
  }

  /// Where it has no queue to say so in, EFA's provider ends the process.
  @Test
  void errorOfTheEndpointItselfFailsAllLinks() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Transfer waiting = receive(ranks.zeros(1, BYTES), WORLD, 0);
      ranks.post(link.receiver(), waiting);
      network.faults(1).failEndpoint();
      assertThat(ranks.failure(waiting))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("operation=none of the caller's, endpoint=local, error=113")
          .hasMessageContaining("providerSays=" + EfaFaults.WORDS);
      assertThatThrownBy(() -> ranks.transport(1).openReceive(0, WORLD + 1, PATIENCE))
          .isSameAs(waiting.failure());
      var _ = ranks.transport(0).openReceive(1, WORLD, PATIENCE);
      assertThatThrownBy(() -> ranks.transport(1).openSend(0, WORLD, PATIENCE))
          .isSameAs(waiting.failure());
      part(ranks);
    }
    assertThat(network.offences()).isEmpty();
  }

  @Test
  void peerThatNeverSaidAnythingPointsToTheSecurityGroup() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Engine silent = engine(ranks, 1);
      silent.hold();
      try {
        Transfer sending = send(ranks.random(0, BYTES, 1), WORLD, 0);
        ranks.post(link.sender(), sending);
        Engine asking = engine(ranks, 0);
        asking.hold();
        for (int question = 0; question < 5; question++) {
          asking.peers().ask(2);
        }
        asking.letGo();
        var _ = link.sender().poll();
        assertThat(sending.failure())
            .hasMessageContaining("peer does not answer: transport=efa, peer=1")
            .hasMessageContaining("the security group of all cards must allow all traffic");
      } finally {
        silent.letGo();
      }
      part(ranks);
    }
  }
}
