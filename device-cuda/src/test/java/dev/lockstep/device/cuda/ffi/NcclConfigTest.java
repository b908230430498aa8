package dev.lockstep.device.cuda.ffi;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class NcclConfigTest {
  @ParameterizedTest
  @ValueSource(strings = {"1", "01", "0x1", " 1", "+1", "1 ", "1\n", "1on"})
  void isOneWhereNcclReadsOne(String value) {
    assertThat(NcclConfig.isOne(value)).isTrue();
  }

  @ParameterizedTest
  @ValueSource(strings = {"0", "", "-1", "2", "10", "0x10", "0x1f", "yes", "- 1"})
  void isNotOneWhereNcclReadsAnotherNumber(String value) {
    assertThat(NcclConfig.isOne(value)).isFalse();
  }
}
