package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.collective.transport.HostwiseTransport;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.inprocess.InProcessTransportProvider;
import dev.lockstep.transport.shm.ShmTransportProvider;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(60)
final class HostwiseTransportTest {
  private static final List<String> HOSTS = List.of("a", "a", "b", "b");

  @TempDir private Path directory;

  private final List<Transport> near = new ArrayList<>();
  private final List<Transport> far = new ArrayList<>();

  private TransportHarness open() {
    List<Transport> both = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(HOSTS.size(), directory)) {
      near.add(new ShmTransportProvider().open(context));
      far.add(new InProcessTransportProvider().open(context));
      both.add(new HostwiseTransport(near.getLast(), far.getLast(), HOSTS, context.rank()));
    }
    return new TransportHarness(both);
  }

  @ParameterizedTest(name = "{0} to {1}")
  @CsvSource({"0, 1, true", "3, 2, true", "1, 2, false", "3, 0, false"})
  void messagesWithinAHostGoNearAndAllOthersFar(int from, int to, boolean isNear) {
    try (TransportHarness harness = open()) {
      harness.deliver(harness.link(from, to, 1), 1, 0, 100_000);
      assertThat(near.get(from).counters().bytesSent()).isEqualTo(isNear ? 100_000 : 0);
      assertThat(far.get(from).counters().bytesSent()).isEqualTo(isNear ? 0 : 100_000);
      assertThat(harness.transport(to).counters().bytesReceived()).isEqualTo(100_000);
    }
  }

  @Test
  void memoryIsSharedByRanksOfOneHostAlone() {
    try (TransportHarness harness = open()) {
      Transport transport = harness.transport(1);
      assertThat(transport.name()).isEqualTo("shm+in-process");
      assertThat(transport.peerAccess(List.of(0, 1))).isPresent();
      assertThat(transport.peerAccess(List.of(1))).isPresent();
      assertThat(transport.peerAccess(List.of(1, 2))).isEmpty();
      assertThat(transport.peerAccess(List.of(0, 1, 2, 3))).isEmpty();
    }
  }

  @Test
  void peersOutsideTheJobAreRefused() {
    try (TransportHarness harness = open()) {
      for (int peer : new int[] {-1, 4}) {
        assertThatThrownBy(() -> harness.transport(0).openReceive(peer, 1, Duration.ZERO))
            .isInstanceOf(IllegalArgumentException.class)
            .hasMessageContaining("peer=" + peer);
      }
    }
  }

  @Test
  void isOfUseWhereHostsAreSeveralAndOneHasSeveralRanks() {
    assertThat(HostwiseTransport.isOfUse(HOSTS)).isTrue();
    assertThat(HostwiseTransport.isOfUse(List.of("a", "a", "b"))).isTrue();
    assertThat(HostwiseTransport.isOfUse(List.of("a", "b"))).isFalse();
    assertThat(HostwiseTransport.isOfUse(List.of("a", "a"))).isFalse();
    assertThat(HostwiseTransport.isOfUse(List.of("a"))).isFalse();
  }

  @Test
  void namedBesideSharedMemoryAnAbsentTransportIsRefused() {
    CommunicatorOptions options = CommunicatorOptions.defaults().withTransport("shm+pigeons");
    assertThatThrownBy(options::requireTransport)
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("shm+pigeons");
  }

  @Test
  void namedBesideSharedMemoryOnOneHostItIsSharedMemory() {
    CommunicatorOptions options = Ranks.options().withTransport("shm+messages-only");
    List<String> names = Ranks.run(2, options, rank -> rank.communicator.transport());
    assertThat(names).containsOnly("shm");
  }
}
