package dev.lockstep.transport.efa;

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
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
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
    refuses(TransportHarness.open(new OfiTcpProvider(), 3, directory));
  }

  @Test
  void whatAStoppedPeerWritesLaterEfasDeviceRefuses() {
    var network = new EfaNetwork();
    refuses(
        EfaDevice.open(3, directory, network, EfaCard.of("rdmap0s6-rdm", FabricInfo.EFA_DIRECT)));
    assertThat(network.offences()).isEmpty();
  }

  /// Their time to answer begins for all of them before any is waited for.
  @Test
  void manySilentPeersTakeTheTimeOfOne() {
    int silent = 7;
    LibfabricJudge.require(new OfiTcpProvider());
    try (TransportHarness ranks =
        TransportHarness.open(new OfiTcpProvider(), silent + 1, directory)) {
      List<Link> links = new ArrayList<>();
      for (int peer = 1; peer <= silent; peer++) {
        ReceiveLink receiver = (ReceiveLink) ranks.link(peer, 0, WORLD).receiver();
        ranks.post(receiver, receive(ranks.zeros(0, BYTES), WORLD, 0));
        ranks.until(receiver::holdsMemory);
        links.add(receiver);
      }
      List<Engine> peers =
          IntStream.rangeClosed(1, silent)
              .mapToObj(peer -> ((FabricTransport) ranks.transport(peer)).engine())
              .toList();
      peers.forEach(Engine::hold);
      try {
        long start = System.nanoTime();
        links.forEach(Link::beginAbandon);
        links.forEach(Link::abandon);
        assertThat(Duration.ofNanos(System.nanoTime() - start))
            .as(MachineLoad::now)
            .isBetween(Duration.ofMillis(200), Duration.ofMillis(200L * (silent - 1)));
        assertThat(links).noneMatch(link -> ((ReceiveLink) link).holdsMemory());
      } finally {
        peers.forEach(Engine::letGo);
      }
    }
  }

  private static void refuses(TransportHarness opened) {
    try (TransportHarness ranks = opened) {
      Pair link = ranks.link(0, 1, WORLD);
      Pair other = ranks.link(0, 1, WORLD + 1);
      Pair live = ranks.link(2, 1, WORLD);
      Registration source = ranks.random(0, 2 * BYTES, 2);
      Transfer sending = send(ranks.random(0, BYTES, 1), WORLD, 0);
      Registration target = ranks.zeros(0, 2 * BYTES);
      Transfer first = receive(target.slice(0, BYTES), WORLD, 0);
      Transfer second = receive(target.slice(BYTES, BYTES), WORLD + 1, 0);
      ranks.post(link.receiver(), first);
      ranks.post(other.receiver(), second);
      ranks.until(((ReceiveLink) link.receiver())::holdsMemory);
      ranks.until(((ReceiveLink) other.receiver())::holdsMemory);
      ranks.until(((SendLink) link.sender())::holdsGrant);
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
        Transfer next = receive(target, WORLD, 0);
        Transfer theirs = send(source, WORLD, 0);
        ranks.post(live.receiver(), next);
        ranks.post(live.sender(), theirs);
        ranks.await(next, theirs);
        for (int look = 0; look < 16; look++) {
          stopped.peers().listen(); // as if it had been stopped behind its last look
        }
      } finally {
        stopped.letGo();
      }
      // At once: its thread in the background reads that the link is gone.
      if (link.sender().post(sending) == Link.ACCEPTED) {
        ranks.until(() -> sending.state() != Transfer.State.POSTED);
      }
      for (int look = 0; look < 5000; look++) {
        var _ = ranks.poll();
      }
      assertThat(first.failure()).isInstanceOf(TransportException.class);
      assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
    }
  }
}
