package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AttentionKernelsTest {
  @ParameterizedTest(name = "batch={0}, tokens={1}, heads={2}, size={3}, blocks={4}")
  @CsvSource({
    "1, 1, 1, 1, 1",
    "2, 5, 3, 4, 2",
    "1, 19, 2, 8, 4",
    "2, 33, 1, 20, 3",
    "1, 64, 2, 32, 4",
    "1, 70, 1, 48, 7",
    "1, 6, 2, 16, 9"
  })
  void hasTheSameBitsOnEveryWidthAndIsCloseToFloat64(
      int batch, int tokens, int heads, int size, int blocks) {
    var kernels = new Kernels(tokens);
    Attention call = attention(kernels, batch, tokens, heads, size, blocks);
    int n = batch * tokens * heads * size;
    run(KernelSet.scalar(), call, kernels);
    int[] out = Kernels.bits(call.out, n);
    int[] logSumExp = Kernels.bits(call.logSumExp, batch * heads * tokens);
    int[] dqkv = Kernels.bits(call.dq, 3 * n);
    check(call);
    Kernels.vectors()
        .forEach(
            set -> {
              run(set, call, kernels);
              assertThat(Kernels.bits(call.out, n)).isEqualTo(out);
              assertThat(Kernels.bits(call.logSumExp, batch * heads * tokens)).isEqualTo(logSumExp);
              assertThat(Kernels.bits(call.dq, 3 * n)).isEqualTo(dqkv);
            });
  }

  private static Attention attention(
      Kernels kernels, int batch, int tokens, int heads, int size, int blocks) {
    Attention call = Attention.packed(batch, tokens, heads, size, blocks);
    int n = batch * tokens * heads * size;
    call.inputs(kernels.normal(3 * n));
    call.dout = kernels.normal(n);
    return call;
  }

  private static void run(KernelSet set, Attention call, Kernels kernels) {
    int n = call.batch * call.queries * call.heads * call.size;
    call.out = kernels.zeros(n);
    call.gradients(kernels.zeros(3 * n));
    call.logSumExp = kernels.zeros(call.count() * call.queries);
    AttentionKernels attention = set.attention();
    // Scratch holds whatever was there before: here numbers that would show.
    int forward = (int) attention.forwardScratchBytes(call) / 4;
    int backward = (int) attention.backwardScratchBytes(call) / 4;
    long dirty = kernels.of(Math.max(forward, backward), _ -> Double.NaN);
    for (int i = 0; i < call.count(); i++) {
      attention.forward(call, i, dirty);
    }
    dirty = kernels.of(Math.max(forward, backward), _ -> Double.NaN);
    for (int i = 0; i < call.count(); i++) {
      attention.backward(call, i, dirty);
    }
  }

  private static void check(Attention call) {
    int stride = 3 * call.heads * call.size;
    int width = call.heads * call.size;
    double[] dqkv = new double[call.batch * call.queries * stride];
    for (int b = 0; b < call.batch; b++) {
      for (int h = 0; h < call.heads; h++) {
        for (int i = 0; i < call.queries; i++) {
          checkQuery(call, b, h, i, stride, width, dqkv);
        }
      }
    }
    for (int i = 0; i < dqkv.length; i++) {
      assertThat((double) Memory.f32(call.dq + i * 4L)).isCloseTo(dqkv[i], within(2e-4));
    }
  }

  private static void checkQuery(
      Attention call, int b, int h, int i, int stride, int width, double[] dqkv) {
    int base = b * call.queries * stride + h * call.size;
    int outBase = (b * call.queries + i) * width + h * call.size;
    double[] p = new double[i + 1];
    double sum = 0;
    for (int j = 0; j <= i; j++) {
      for (int d = 0; d < call.size; d++) {
        p[j] += at(call.q, base + i * stride + d) * at(call.q, base + j * stride + width + d);
      }
      p[j] = Math.exp(p[j] / Math.sqrt(call.size));
      sum += p[j];
    }
    assertThat(at(call.logSumExp, (b * call.heads + h) * call.queries + i))
        .isCloseTo(Math.log(sum), within(1e-5));
    double delta = 0;
    double[] dp = new double[i + 1];
    for (int d = 0; d < call.size; d++) {
      double out = 0;
      for (int j = 0; j <= i; j++) {
        double value = at(call.q, base + j * stride + 2 * width + d);
        out += p[j] / sum * value;
        dp[j] += at(call.dout, outBase + d) * value;
      }
      assertThat(at(call.out, outBase + d)).isCloseTo(out, within(1e-5));
      delta += out * at(call.dout, outBase + d);
    }
    for (int j = 0; j <= i; j++) {
      double ds = p[j] / sum * (dp[j] - delta) / Math.sqrt(call.size);
      for (int d = 0; d < call.size; d++) {
        int q = base + i * stride + d;
        int k = base + j * stride + width + d;
        dqkv[q] += ds * at(call.q, k);
        dqkv[k] += ds * at(call.q, q);
        dqkv[k + width] += p[j] / sum * at(call.dout, outBase + d);
      }
    }
  }

  private static double at(long address, int i) {
    return Memory.f32(address + i * 4L);
  }

  @Test
  void nothingOfALaterTokenIsSeen() {
    var kernels = new Kernels(3);
    int tokens = 23;
    Attention call = attention(kernels, 1, tokens, 1, 8, 1);
    Kernels.all()
        .forEach(
            set -> {
              run(set, call, kernels);
              int[] before = Kernels.bits(call.out, 14 * 8);
              Attention other = attention(kernels, 1, tokens, 1, 8, 1);
              other.inputs(
                  kernels.of(
                      tokens * 24, i -> i < 14 * 24 ? Memory.f32(call.q + i * 4L) : Double.NaN));
              run(set, other, kernels);
              assertThat(Kernels.bits(other.out, 14 * 8)).isEqualTo(before);
              assertThat(Memory.f32(other.out + 14 * 8 * 4L)).isNaN();
            });
  }
}
