package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;

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
  @CsvSource({"131072, 16384", "262144, 32768", "2097152, 65440"})
  void aWindowHoldsSeveralPackets(int windowBytes, int packetBytes) {
    assertThat(Mtu.onLoopback(windowBytes)).isEqualTo(packetBytes);
  }

  @Test
  void anAddressOfNoInterfaceIsTakenForEthernet() {
    assertThat(Mtu.ofInterface("192.0.2.1")).isEqualTo(1_408);
  }

  @Test
  void loopbackIsAsked() {
    assertThat(Mtu.ofInterface("127.0.0.1")).isGreaterThan(1_408);
  }
}
