package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class MtuTest {
  @ParameterizedTest(name = "an interface of {0} bytes takes packets of {1}")
  @CsvSource({"1280, 1184", "1500, 1408", "9000, 8896", "9001, 8896", "65536, 65440"})
  void packetsLeaveRoomForHeaders(int interfaceBytes, int packetBytes) {
    assertThat(Mtu.packetBytes(interfaceBytes)).isEqualTo(packetBytes);
  }

  @ParameterizedTest(name = "a window of {0} bytes has packets of {1}")
  @CsvSource({"131072, 32256", "262144, 65024", "2097152, 65024"})
  void aWindowHoldsSeveralPacketsEachWithRoomForTheKernels(int windowBytes, int packetBytes) {
    assertThat(Mtu.onLoopback(windowBytes)).isEqualTo(packetBytes);
  }

  @ParameterizedTest(name = "a way of {0} bytes with a window of {1} has packets of {2}")
  @CsvSource({"1500, 2097152, 1408", "9001, 2097152, 8896", "65536, 131072, 16288"})
  void packetsToOtherHostsFitTheWayAndTheWindow(int path, int window, int packet) {
    assertThat(Mtu.toNetwork(path, window)).isEqualTo(packet);
  }

  @Test
  void anAddressOfNoInterfaceIsTakenForEthernet() {
    assertThat(Mtu.interfaceBytes("192.0.2.1")).isEqualTo(1_500);
    assertThat(Mtu.interfaceBytes("127.0.0.1")).isGreaterThan(1_500);
  }

  @Test
  void wayBetweenHostsIsEthernetUnlessItIsTold() {
    assertThat(Mtu.pathBytes(null)).isEqualTo(1_500);
    assertThat(Mtu.pathBytes("")).isEqualTo(1_500);
    assertThat(Mtu.pathBytes("9001")).isEqualTo(9_001);
    for (String wrong : new String[] {"jumbo", "0", "1279", "65537", "-9000"}) {
      assertThatThrownBy(() -> Mtu.pathBytes(wrong))
          .isInstanceOf(ConfigurationException.class)
          .hasMessageContaining("LOCKSTEP_AERON_MTU=" + wrong);
    }
  }
}
