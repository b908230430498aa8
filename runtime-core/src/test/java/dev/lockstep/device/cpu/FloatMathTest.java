package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.device.cpu.ElementKernels.Binary;
import dev.lockstep.device.cpu.ElementKernels.Unary;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class FloatMathTest {
  private interface FloatFunction {
    float apply(float x);
  }

  @Test
  void expIsWithinTwoUlp() {
    checkUlp(FloatMath::exp, StrictMath::exp, 2);
  }

  @Test
  void logIsWithinTwoUlp() {
    checkUlp(FloatMath::log, StrictMath::log, 2);
  }

  @Test
  void tanhIsWithinTwoUlp() {
    checkUlp(FloatMath::tanh, StrictMath::tanh, 2);
  }

  /// Over all exponents and signs: every 2039th float.
  private static void checkUlp(FloatFunction ours, DoubleUnaryOperator exact, double ulps) {
    double worst = 0;
    float at = 0;
    for (long bits = Integer.MIN_VALUE; bits <= Integer.MAX_VALUE; bits += 2039) {
      float x = Float.intBitsToFloat((int) bits);
      double wanted = exact.applyAsDouble(x);
      float got = ours.apply(x);
      if (Double.isNaN(wanted) || Double.isInfinite((float) wanted)) {
        assertThat(Float.valueOf(got)).as("f(%s)", x).isEqualTo(Float.valueOf((float) wanted));
        continue;
      }
      double error = Math.abs(got - wanted) / Math.ulp((float) wanted);
      if (!(error <= worst)) {
        worst = error;
        at = x;
      }
    }
    assertThat(worst).as("ulp, worst at %s", at).isLessThanOrEqualTo(ulps);
  }

  @Test
  void specialNumbersAreIeees() {
    assertThat(FloatMath.exp(0f)).isEqualTo(1f);
    assertThat(FloatMath.exp(Float.NEGATIVE_INFINITY)).isZero();
    assertThat(FloatMath.exp(Float.POSITIVE_INFINITY)).isEqualTo(Float.POSITIVE_INFINITY);
    assertThat(FloatMath.log(0f)).isEqualTo(Float.NEGATIVE_INFINITY);
    assertThat(FloatMath.log(-1f)).isNaN();
    assertThat(FloatMath.log(1f)).isZero();
    assertThat(FloatMath.tanh(Float.POSITIVE_INFINITY)).isEqualTo(1f);
    assertThat(FloatMath.tanh(Float.NEGATIVE_INFINITY)).isEqualTo(-1f);
    assertThat(Float.floatToRawIntBits(FloatMath.tanh(-0f))).isEqualTo(0x80000000);
    assertThat(FloatMath.exp(Float.NaN)).isNaN();
    assertThat(FloatMath.log(Float.NaN)).isNaN();
    assertThat(FloatMath.tanh(Float.NaN)).isNaN();
  }

  @ParameterizedTest(name = "x={0}")
  @ValueSource(floats = {-30f, -6f, -3.1f, -1f, -0.1f, 0f, 1e-6f, 0.3f, 1f, 2.5f, 7f, 40f})
  void geluAndItsGradientFollowTheTanhForm(float x) {
    double c = Math.sqrt(2 / Math.PI);
    double u = c * (x + 0.044715 * x * x * x);
    double slope =
        0.5 * (1 + Math.tanh(u))
            + 0.5 * x * (1 - Math.tanh(u) * Math.tanh(u)) * c * (1 + 3 * 0.044715 * x * x);
    assertThat((double) FloatMath.gelu(x))
        .isCloseTo(0.5 * x * (1 + Math.tanh(u)), org.assertj.core.api.Assertions.within(1e-6));
    assertThat((double) FloatMath.geluGrad(2f, x))
        .isCloseTo(2 * slope, org.assertj.core.api.Assertions.within(2e-6));
  }

  @ParameterizedTest(name = "x={0}")
  @ValueSource(floats = {1e18f, 4e19f, 6e19f, 1e30f, Float.MAX_VALUE})
  void theGradientOfGeluLevelsOffFarFromZero(float x) {
    assertThat(FloatMath.geluGrad(2f, x)).isEqualTo(2f);
    assertThat(FloatMath.geluGrad(2f, -x)).isZero();
  }

  @ParameterizedTest(name = "{0}")
  @EnumSource(Unary.class)
  void functionsOfOneNumberHaveTheSameBitsOnEveryWidth(Unary op) {
    int n = 50_001;
    var kernels = new Kernels(1);
    // Steps through all floats, so that special numbers and subnormal ones are met.
    long x = kernels.of(n, i -> Float.intBitsToFloat(i * 85_899 + 0x80000000));
    checkSameBits(n, kernels, (set, out) -> set.elements().unary(op, x, out, n));
  }

  @ParameterizedTest(name = "{0}")
  @EnumSource(Binary.class)
  void functionsOfTwoNumbersHaveTheSameBitsOnEveryWidth(Binary op) {
    int n = 20_011;
    var kernels = new Kernels(2);
    long a = kernels.of(n, i -> Float.intBitsToFloat(i * 214_633 + 0x80000000));
    long b = kernels.of(n, i -> Float.intBitsToFloat(i * 7_919_131));
    checkSameBits(n, kernels, (set, out) -> set.elements().binary(op, a, b, out, n));
  }

  private interface Run {
    void on(KernelSet set, long out);
  }

  private static void checkSameBits(int n, Kernels kernels, Run run) {
    long wanted = kernels.zeros(n);
    run.on(KernelSet.scalar(), wanted);
    Kernels.vectors()
        .forEach(
            set -> {
              long out = kernels.zeros(n);
              run.on(set, out);
              assertThat(Kernels.bits(out, n))
                  .as("%d bits", set.vectorBits())
                  .isEqualTo(Kernels.bits(wanted, n));
            });
  }
}
