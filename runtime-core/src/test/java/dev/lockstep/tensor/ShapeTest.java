package dev.lockstep.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;

class ShapeTest {
  @Test
  void bytesThatPassALongAreRefusedNotWrapped() {
    Shape most = Shape.of(Long.MAX_VALUE / 8);
    assertThat(most.bytes(DType.F64)).isEqualTo(Long.MAX_VALUE / 8 * 8);
    Shape wraps = Shape.of((1L << 61) + 1);
    assertThat(wraps.bytes(DType.U8)).isEqualTo((1L << 61) + 1);
    assertThatThrownBy(() -> wraps.bytes(DType.F64))
        .isInstanceOf(ArithmeticException.class)
        .hasMessageContaining("tensor is too large: dtype=F64, shape=[2305843009213693953]");
  }
}
