package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.Inet6Address;
import java.net.InetAddress;
import org.junit.jupiter.api.Test;

class NodeAddressTest {
  private static final String STORE = "127.0.0.1";

  private static InetAddress scoped(int first, int second) throws Exception {
    byte[] bytes = new byte[16];
    bytes[0] = (byte) first;
    bytes[1] = (byte) second;
    bytes[15] = 2;
    return Inet6Address.getByAddress("", bytes, 3);
  }

  @Test
  void interfaceBehindAnAddressStaysHere() throws Exception {
    assertThat(scoped(0xfd, 0).getHostAddress()).contains("%3");
    assertThat(NodeAddress.seenByOthers(scoped(0xfd, 0), STORE)).isEqualTo("fd00:0:0:0:0:0:0:2");
    assertThat(NodeAddress.seenByOthers(scoped(0xfe, 0x80), STORE)).endsWith("%3");
  }

  @Test
  void addressByWhichTheStoreIsReachedIsTaken() throws Exception {
    InetAddress local = InetAddress.getByAddress(new byte[] {10, 1, 2, 3});
    assertThat(NodeAddress.seenByOthers(local, STORE)).isEqualTo("10.1.2.3");
  }

  @Test
  void whoReachesTheStoreByLoopbackHasAnAddressWithoutAnInterface() {
    String seen = NodeAddress.seenByOthers(InetAddress.getLoopbackAddress(), STORE);
    assertThat(seen).isNotEmpty().doesNotContain("%");
  }
}
