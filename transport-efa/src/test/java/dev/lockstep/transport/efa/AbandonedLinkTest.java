package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.nonZero;
import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A peer that is stopped holds leave to write, and nobody can tell it that it ended.
@Timeout(30)
final class AbandonedLinkTest {
  private static final int WORLD = 1;
  private static final int BYTES = 1 << 20;

  @TempDir private Path directory;

  @Test
  void whatAStoppedPeerWritesLaterTheWireRefuses() {
    LibfabricJudge.require(new OfiTcpProvider());
    refuses(TransportHarness.open(new OfiTcpProvider(), 2, directory));
  }

  @Test
  void whatAStoppedPeerWritesLaterEfasDeviceRefuses() {
    var network = new EfaNetwork();
    refuses(
        EfaDevice.open(2, directory, network, EfaCard.of("rdmap0s6-rdm", FabricInfo.EFA_DIRECT)));
    assertThat(network.offences()).isEmpty();
  }

  private static void refuses(TransportHarness opened) {
    try (TransportHarness ranks = opened) {
      Pair link = ranks.link(0, 1, WORLD);
      Pair other = ranks.link(0, 1, WORLD + 1);
      Registration target = ranks.zeros(0, 2 * BYTES);
      Transfer first = receive(target.slice(0, BYTES), WORLD, 0);
      Transfer second = receive(target.slice(BYTES, BYTES), WORLD + 1, 0);
      ranks.post(link.receiver(), first);
      ranks.post(other.receiver(), second);
      ranks.until(((ReceiveLink) link.receiver())::holdsMemory);
      ranks.until(((ReceiveLink) other.receiver())::holdsMemory);
      RegionCache cache = ((FabricTransport) ranks.transport(1)).engine().cache();
      long frames = cache.registeredBytes() - target.region().bytes();
      assertThat(frames).isNotNegative();
      Engine stopped = ((FabricTransport) ranks.transport(0)).engine();
      stopped.hold();
      try {
        long start = System.nanoTime();
        link.receiver().abandon();
        assertThat(cache.registeredBytes()).as("another grant is out").isGreaterThan(frames);
        other.receiver().abandon();
        other.receiver().abandon();
        assertThat(Duration.ofNanos(System.nanoTime() - start))
            .as(MachineLoad::now)
            .isLessThan(Duration.ofSeconds(2));
        assertThat(cache.registeredBytes()).isEqualTo(frames);
      } finally {
        stopped.letGo();
      }
      assertThat(first.failure()).isInstanceOf(TransportException.class);
      Transfer sending = send(ranks.random(0, BYTES, 1), WORLD, 0);
      if (link.sender().post(sending) == Link.ACCEPTED) {
        assertThat(ranks.failure(sending)).isInstanceOf(TransportException.class);
      }
      assertThat(nonZero(target.segment())).isFalse();
    }
  }
}
