package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;

class AdamWUpdateTest {
  @Test
  void threeUpdatesFollowTheFormulaOnEveryWidth() {
    int n = 133;
    var kernels = new Kernels(4);
    long param = kernels.normal(n);
    long grad = kernels.normal(n);
    int[][] results = new int[4][];
    Kernels.all()
        .forEach(
            set -> {
              AdamWUpdate step = new AdamWUpdate(0.9f, 0.95f, 1e-8f, 0.1f);
              step.grad = grad;
              step.param = step.paramOut = kernels.of(n, i -> Memory.f32(param + i * 4L));
              step.m = step.mOut = kernels.zeros(n);
              step.v = step.vOut = kernels.zeros(n);
              for (int t = 1; t <= 3; t++) {
                step.at(1e-2f * t, t, 0.5f);
                set.elements().adamW(step, 0, 60);
                set.elements().adamW(step, 60, n - 60);
              }
              for (int i = 0; i < n; i++) {
                check(
                    Memory.f32(param + i * 4L),
                    Memory.f32(grad + i * 4L) * 0.5,
                    Memory.f32(step.param + i * 4L));
              }
              int[][] got = {
                Kernels.bits(step.param, n), Kernels.bits(step.m, n), Kernels.bits(step.v, n)
              };
              for (int k = 0; k < 3; k++) {
                results[k] = results[k] == null ? got[k] : results[k];
                assertThat(got[k]).as("%d bits", set.vectorBits()).isEqualTo(results[k]);
              }
            });
  }

  private static void check(double param, double g, float got) {
    double p = param;
    double m = 0;
    double v = 0;
    for (int t = 1; t <= 3; t++) {
      double rate = 1e-2 * t;
      m = 0.9 * m + 0.1 * g;
      v = 0.95 * v + 0.05 * g * g;
      double direction =
          m / (1 - Math.pow(0.9, t)) / (Math.sqrt(v / (1 - Math.pow(0.95, t))) + 1e-8);
      p = p - rate * 0.1 * p - rate * direction;
    }
    assertThat((double) got).isCloseTo(p, within(2e-6));
  }
}
