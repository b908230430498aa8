package dev.lockstep.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.math.BigDecimal;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

/// Every pattern of every format against its definition, and rounding against the two neighbours.
final class NarrowFloatTest {
  /// Exponent bits, fraction bits and whether the top exponent holds infinity and NaN.
  private record Format(DType dtype, int exponentBits, int fractionBits, boolean infinity) {
    static Format of(DType dtype) {
      return switch (dtype) {
        case BF16 -> new Format(dtype, 8, 7, true);
        case F16 -> new Format(dtype, 5, 10, true);
        case F8_E4M3FN -> new Format(dtype, 4, 3, false);
        case F8_E4M3 -> new Format(dtype, 4, 3, true);
        case F8_E5M2 -> new Format(dtype, 5, 2, true);
        case F64, F32, I64, I32, I16, I8, U8, BOOL -> throw new AssertionError(dtype);
      };
    }

    int magnitudes() {
      return 1 << (exponentBits + fractionBits);
    }

    /// First magnitude that is not a number.
    int firstSpecial() {
      return infinity ? ((1 << exponentBits) - 1) << fractionBits : magnitudes() - 1;
    }

    /// The value as the definition has it; the first special pattern counts on as if it were
    /// finite.
    double value(int magnitude) {
      int bias = (1 << (exponentBits - 1)) - 1;
      int exponent = magnitude >>> fractionBits;
      int fraction = magnitude & ((1 << fractionBits) - 1);
      return exponent == 0
          ? Math.scalb((double) fraction, 1 - bias - fractionBits)
          : Math.scalb((double) (fraction + (1 << fractionBits)), exponent - bias - fractionBits);
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      mode = Mode.MATCH_ANY,
      names = {"BF16", "F16", "F8_.*"})
  void everyPatternDecodesByDefinitionAndComesBack(DType dtype) {
    Format format = Format.of(dtype);
    for (int magnitude = 0; magnitude < format.magnitudes(); magnitude++) {
      for (int sign = 0; sign <= 1; sign++) {
        int bits = (sign * format.magnitudes()) | magnitude;
        float value = NarrowFloat.decode(dtype, bits);
        if (magnitude < format.firstSpecial()) {
          double expected = sign == 0 ? format.value(magnitude) : -format.value(magnitude);
          assertThat((double) value).as("%s %x", dtype, bits).isEqualTo(expected);
          assertThat(NarrowFloat.encode(dtype, value)).as("%s %x", dtype, bits).isEqualTo(bits);
        } else if (format.infinity() && magnitude == format.firstSpecial()) {
          assertThat(value)
              .isEqualTo(sign == 0 ? Float.POSITIVE_INFINITY : Float.NEGATIVE_INFINITY);
          assertThat(NarrowFloat.encode(dtype, value)).isEqualTo(bits);
        } else {
          assertThat(value).isNaN();
          float again = NarrowFloat.decode(dtype, NarrowFloat.encode(dtype, value));
          assertThat(again).isNaN();
          assertThat(Float.floatToRawIntBits(value) < 0).isEqualTo(sign == 1);
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      mode = Mode.MATCH_ANY,
      names = {"BF16", "F16", "F8_.*"})
  void roundsToNearestEvenAroundEveryMidpoint(DType dtype) {
    Format format = Format.of(dtype);
    int last = format.firstSpecial();
    for (int magnitude = 0; magnitude < last; magnitude++) {
      float low = (float) format.value(magnitude);
      double midpoint = (format.value(magnitude) + format.value(magnitude + 1)) / 2;
      float middle = (float) midpoint;
      if (middle != midpoint || Float.isInfinite(middle)) {
        // Below what float can say: bfloat16's last bits of subnormals still fit, nothing else.
        assertThat(dtype).isEqualTo(DType.BF16);
        continue;
      }
      int even = magnitude % 2 == 0 ? magnitude : magnitude + 1;
      String at = dtype + " between " + magnitude + " and " + (magnitude + 1) + " low=" + low;
      assertThat(NarrowFloat.encode(dtype, middle)).as(at).isEqualTo(even);
      assertThat(NarrowFloat.encode(dtype, Math.nextDown(middle))).as(at).isEqualTo(magnitude);
      assertThat(NarrowFloat.encode(dtype, Math.nextUp(middle))).as(at).isEqualTo(magnitude + 1);
      assertThat(NarrowFloat.encode(dtype, -middle)).as(at).isEqualTo(format.magnitudes() | even);
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      mode = Mode.MATCH_ANY,
      names = {"BF16", "F16", "F8_.*"})
  void noOtherNumberIsNearer(DType dtype) {
    Format format = Format.of(dtype);
    SplittableRandom random = new SplittableRandom(7);
    for (int i = 0; i < 200_000; i++) {
      float value = Float.intBitsToFloat(random.nextInt() & 0x7FFF_FFFF);
      int bits = NarrowFloat.encode(dtype, value);
      if (Float.isNaN(value)) {
        assertThat(NarrowFloat.decode(dtype, bits)).isNaN();
        continue;
      }
      BigDecimal exact = Float.isInfinite(value) ? null : new BigDecimal(value);
      for (int other = Math.max(0, bits - 1);
          other <= Math.min(bits + 1, format.firstSpecial());
          other++) {
        if (exact == null || bits > format.firstSpecial()) {
          break;
        }
        int ahead = distance(format, bits, exact).compareTo(distance(format, other, exact));
        assertThat(ahead)
            .as("%s value=%s bits=%x other=%x", dtype, value, bits, other)
            .isNotPositive();
      }
    }
  }

  private static BigDecimal distance(Format format, int magnitude, BigDecimal exact) {
    // Past the first special pattern everything is one: what lies beyond is at distance 0 of it.
    BigDecimal value = new BigDecimal(format.value(magnitude));
    return magnitude == format.firstSpecial() && exact.compareTo(value) > 0
        ? BigDecimal.ZERO
        : exact.subtract(value).abs();
  }

  @ParameterizedTest(name = "{0}: {1} encodes as {2}")
  @CsvSource({
    "F8_E4M3FN, 448, 0x7E",
    "F8_E4M3FN, 464, 0x7E",
    "F8_E4M3FN, 464.1, 0x7F",
    "F8_E4M3FN, Infinity, 0x7F",
    "F8_E4M3FN, -Infinity, 0xFF",
    "F8_E4M3FN, 1e-30, 0x00",
    "F8_E4M3, 240, 0x77",
    "F8_E4M3, 247.9, 0x77",
    "F8_E4M3, 248, 0x78",
    "F8_E4M3, -1e30, 0xF8",
    "F8_E5M2, 57344, 0x7B",
    "F8_E5M2, 61439, 0x7B",
    "F8_E5M2, 61440, 0x7C",
    "F16, 65504, 0x7BFF",
    "F16, 65520, 0x7C00",
    "BF16, 3.4028235e38, 0x7F80",
    "BF16, -0.0, 0x8000",
    "F8_E5M2, -0.0, 0x80",
    "F8_E4M3, -1e-20, 0x80",
    "F8_E4M3FN, 1.4e-45, 0x00"
  })
  void endsOfRange(DType dtype, float value, String bits) {
    assertThat(NarrowFloat.encode(dtype, value)).isEqualTo(Integer.decode(bits));
  }

  @Test
  void quietNanOfLowPayloadStaysNan() {
    float nan = Float.intBitsToFloat(0x7F80_0001);
    assertThat(NarrowFloat.fromBf16(NarrowFloat.toBf16(nan))).isNaN();
    assertThat(NarrowFloat.fromF16(NarrowFloat.toF16(nan))).isNaN();
  }

  @Test
  void otherTypesAreRefused() {
    assertThatThrownBy(() -> NarrowFloat.encode(DType.F32, 1))
        .hasMessage("not a float of one or two bytes: dtype=F32");
    assertThatThrownBy(() -> NarrowFloat.decode(DType.I8, 1))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
