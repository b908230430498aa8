package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.TransportException;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class LinkAddressTest {
  private static LinkAddress address(String fabric) {
    return new LinkAddress(7, 1L << 40, fabric, List.of(new byte[] {1, 2, 3}, new byte[32]));
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"efa-direct", "net"})
  void whatIsPublishedIsRead(String fabric) {
    LinkAddress read = LinkAddress.decode(address(fabric).encoded(), "rank 1");
    assertThat(read.link()).isEqualTo(7);
    assertThat(read.eagerBytes()).isEqualTo(1L << 40);
    assertThat(read.fabric()).isEqualTo(fabric);
    assertThat(read.names()).containsExactly(new byte[] {1, 2, 3}, new byte[32]);
  }

  @ParameterizedTest(name = "bytes={0}")
  @ValueSource(ints = {0, 1, 13, 14, 18, 20, 26})
  void whatIsCutIsRefused(int bytes) {
    byte[] cut = Arrays.copyOf(address("efa").encoded(), bytes);
    assertThatThrownBy(() -> LinkAddress.decode(cut, "rank 1"))
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("run one version of Lockstep on all ranks");
  }

  @ParameterizedTest(name = "{0}, {1}")
  @CsvSource({
    "efa, efa-direct, set LOCKSTEP_EFA_FABRIC=efa on all",
    "efa-direct, efa, set LOCKSTEP_EFA_FABRIC=efa on all",
    "net, tcp, run one version on all hosts"
  })
  void endsThatSpeakUnlikeAreRefused(String mine, String other, String remedy) {
    address(other).requireFabric(other, "rank 1");
    assertThatThrownBy(() -> address(other).requireFabric(mine, "rank 1"))
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("this rank %s, rank 1 %s", mine, other)
        .hasMessageContaining(remedy);
  }
}
