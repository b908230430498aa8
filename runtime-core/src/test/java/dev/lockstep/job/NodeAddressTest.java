package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.failure.ConfigurationException;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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

  @ParameterizedTest
  @CsvSource({
    "127.0.0.1, 127.0.0.1",
    "127.0.1.1, 127.0.1.1",
    "localhost, 127.0.0.1",
    "::1, 0:0:0:0:0:0:0:1",
    "[::1], 0:0:0:0:0:0:0:1",
    "0:0:0:0:0:0:0:1, 0:0:0:0:0:0:0:1",
    "192.0.2.1, 0.0.0.0"
  })
  void storeListensNoWiderThanItsAddressSays(String host, String address) {
    assertThat(NodeAddress.toListenAt(host)).isEqualTo(address);
  }

  @Test
  void storeListensForOthersWhereItsNodesOwnNameIsLoopback() throws Exception {
    InetAddress own = InetAddress.getLocalHost();
    assumeTrue(
        own.isLoopbackAddress() && !StoreAddress.isLoopback(own.getHostName()),
        "this machine's name is no loopback: " + own);
    assertThat(NodeAddress.toListenAt(own.getHostName())).isEqualTo("0.0.0.0");
  }

  @ParameterizedTest
  @CsvSource({
    "localhost, true",
    "ip6-loopback, true",
    "127.0.1.1, true",
    "::1, true",
    "[::1], true",
    "0:0:0:0:0:0:0:1, true",
    "::ffff:127.0.0.1, true",
    "10.0.0.1, false",
    "fd00::1, false",
    "node:1, false",
    "node-0, false"
  })
  void loopbackIsKnownInEveryForm(String host, boolean loopback) {
    assertThat(StoreAddress.isLoopback(host)).isEqualTo(loopback);
  }

  @ParameterizedTest
  @CsvSource({
    "docker0, true",
    "br-1a2b3c, true",
    "virbr0, true",
    "veth12, true",
    "eth0, false",
    "br0, false"
  })
  void interfacesOfContainersAreNoWayToANode(String name, boolean forGuests) {
    assertThat(NodeAddress.isForGuests(name)).isEqualTo(forGuests);
  }

  @Test
  void addressThatAVariableGivesIsThisNodesOwn() {
    Map<String, String> own = Map.of(JobVariables.NODE_ADDRESS, "127.0.0.1");
    assertThat(NodeAddress.given(new Variables(own))).hasValue("127.0.0.1");
    assertThat(NodeAddress.given(new Variables(Map.of()))).isEmpty();
    Variables other = new Variables(Map.of(JobVariables.NODE_ADDRESS, "192.0.2.1"));
    assertThatThrownBy(() -> NodeAddress.given(other))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("none of this node's: LOCKSTEP_NODE_ADDRESS=192.0.2.1");
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
