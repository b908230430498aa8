package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// EFA's completion queues have as many entries as the device has, and nothing keeps them from
/// being overrun.
@Timeout(30)
final class EfaQueueTest {
  private static final int WORLD = 1;
  private static final int SEGMENT = 64;

  /// Messages above 4 KiB are asked for, in segments as short as they may be.
  private static final FabricOptions SHORT_SEGMENTS =
      new FabricOptions(1, 4096, SEGMENT, false, false, Long.MAX_VALUE);

  private final EfaNetwork network = new EfaNetwork();

  @TempDir private Path directory;

  @Test
  void areAsLongAsTheDeviceTakes() {
    network.limitQueues(5000);
    EfaCard card = EfaCard.of("rdmap0s6-rdm", FabricInfo.EFA_DIRECT);
    try (TransportHarness ranks = EfaDevice.open(2, directory, network, card)) {
      ranks.exchange(20, 1_000_000);
    }
    assertThat(network.offences()).isEmpty();
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {FabricInfo.EFA, FabricInfo.EFA_DIRECT})
  void holdAllThatPeersWriteToARankThatDoesNotLook(String fabric) {
    network.limitQueues(1024);
    EfaCard card = EfaCard.of("rdmap0s6-rdm", fabric);
    try (TransportHarness ranks = EfaDevice.open(3, directory, network, SHORT_SEGMENTS, card)) {
      int bytes = 2000 * SEGMENT;
      Registration source = ranks.random(0, bytes, 1);
      List<Pair> links = List.of(ranks.link(0, 1, WORLD), ranks.link(2, 1, WORLD));
      List<Registration> targets = List.of(ranks.zeros(0, bytes), ranks.zeros(0, bytes));
      List<Transfer> sent = List.of(send(source, WORLD, 0), send(source, WORLD, 0));
      List<Transfer> received =
          List.of(receive(targets.get(0), WORLD, 0), receive(targets.get(1), WORLD, 0));
      for (int i = 0; i < 2; i++) {
        ranks.post(links.get(i).receiver(), received.get(i));
        ranks.until(((ReceiveLink) links.get(i).receiver())::holdsMemory);
      }
      Engine paused = ((FabricTransport) ranks.transport(1)).engine();
      paused.hold();
      try {
        ranks.post(links.get(0).sender(), sent.get(0));
        ranks.post(links.get(1).sender(), sent.get(1));
        for (int turn = 0; turn < 20_000; turn++) {
          var _ = ranks.poll();
        }
        assertThat(sent.getFirst().progress).isPositive().isLessThan(bytes);
      } finally {
        paused.letGo();
      }
      for (int i = 0; i < 2; i++) {
        ranks.await(received.get(i), sent.get(i));
        assertThat(targets.get(i).segment().mismatch(source.segment())).isEqualTo(-1);
      }
    }
    assertThat(network.offences()).isEmpty();
  }
}
