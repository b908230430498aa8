package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.TransportException;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LinkAddressTest {
  private static LinkAddress address(boolean direct) {
    return new LinkAddress(7, 1L << 40, direct, List.of(new byte[] {1, 2, 3}, new byte[32]));
  }

  @ParameterizedTest(name = "direct={0}")
  @ValueSource(booleans = {true, false})
  void whatIsPublishedIsRead(boolean direct) {
    LinkAddress read = LinkAddress.decode(address(direct).encoded(), "rank 1");
    assertThat(read.link()).isEqualTo(7);
    assertThat(read.eagerBytes()).isEqualTo(1L << 40);
    assertThat(read.direct()).isEqualTo(direct);
    assertThat(read.names()).containsExactly(new byte[] {1, 2, 3}, new byte[32]);
  }

  @ParameterizedTest(name = "bytes={0}")
  @ValueSource(ints = {0, 1, 13, 14, 20})
  void whatIsCutIsRefused(int bytes) {
    byte[] cut = Arrays.copyOf(address(true).encoded(), bytes);
    assertThatThrownBy(() -> LinkAddress.decode(cut, "rank 1"))
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("run one version of Lockstep on all ranks");
  }

  @ParameterizedTest(name = "direct={0}")
  @ValueSource(booleans = {true, false})
  void endsOfTwoNetworksAreRefused(boolean direct) {
    address(direct).requireFabric(direct, "rank 1");
    assertThatThrownBy(() -> address(direct).requireFabric(!direct, "rank 1"))
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("efa-direct")
        .hasMessageContaining("set LOCKSTEP_EFA_FABRIC=efa on all")
        .hasMessageContaining("rank 1");
  }
}
