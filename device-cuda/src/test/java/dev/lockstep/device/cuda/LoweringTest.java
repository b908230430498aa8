package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.tensor.DType;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LoweringTest {
  @ParameterizedTest(name = "{0} {1}")
  @CsvSource({
    // Half a unit of bfloat16 and a little more, which a float has not.
    "BF16, 1.00390625000001, 3f81",
    "F8_E4M3FN, 1.06250000000001, 39",
    "I64, 2.7, 3",
    "I32, 2.5, 2",
    "I32, -2.7, fffffffd",
    "I16, -40000, 8000",
    "I8, 300, 7f",
    "U8, 254.6, ff",
    "U8, -3, 0"
  })
  void constantsAreRoundedOnceAndToNearest(DType dtype, double value, String bits) {
    assertThat(Long.toHexString(Lowering.bits(dtype, value))).isEqualTo(bits);
  }
}
