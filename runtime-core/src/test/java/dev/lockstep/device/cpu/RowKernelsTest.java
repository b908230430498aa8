package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class RowKernelsTest {
  @ParameterizedTest(name = "n={0}")
  @ValueSource(ints = {0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 100, 1000})
  void sumsAreSixteenStridedPartsJoinedByHalves(int n) {
    var kernels = new Kernels(n);
    long x = kernels.normal(n);
    long y = kernels.normal(n);
    float[] terms = Kernels.floats(x, n);
    float[] exps = new float[n];
    for (int i = 0; i < n; i++) {
      exps[i] = FloatMath.exp(terms[i] - 0.5f);
    }
    RowKernels scalar = KernelSet.scalar().rows();
    Kernels.all()
        .forEach(
            set -> {
              RowKernels rows = set.rows();
              long p = kernels.room(RowKernels.PARTIAL_BYTES);
              assertThat(rows.sum(x, n, p)).isEqualTo(Kernels.strided(terms));
              long out = kernels.zeros(n + 1);
              assertThat(rows.exp(x, 0.5f, out, n, p)).isEqualTo(Kernels.strided(exps));
              assertThat(Kernels.floats(out, n)).isEqualTo(exps);
              assertThat(Memory.f32(out + n * 4L)).isZero();
              assertThat(rows.sumSquares(x, n, p)).isEqualTo(scalar.dot(x, x, n, p));
              assertThat(rows.dot(x, y, n, p)).isEqualTo(scalar.dot(x, y, n, p));
              assertThat(rows.max(x, n, p)).isEqualTo(scalar.max(x, n, p));
            });
  }

  @Test
  void theGreatestIsNotANumberIfOneIs() {
    var kernels = new Kernels(1);
    long x = kernels.of(50, i -> i == 44 ? Double.NaN : i);
    long p = kernels.room(RowKernels.PARTIAL_BYTES);
    Kernels.all().forEach(set -> assertThat(set.rows().max(x, 50, p)).isNaN());
    Kernels.all().forEach(set -> assertThat(set.rows().max(x, 44, p)).isEqualTo(43f));
  }

  @ParameterizedTest(name = "rows={0}, width={1}, outer={2}, blocks={3}")
  @CsvSource({"6, 1, 1, 1", "12, 37, 3, 4", "9, 64, 3, 2", "10, 130, 1, 7", "0, 20, 1, 1"})
  void layerNormHasTheSameBitsOnEveryWidthAndIsCloseToFloat64(
      int rows, int width, int outer, int blocks) {
    var kernels = new Kernels(width);
    LayerNorms call = layerNorm(kernels, rows, width, outer, blocks);
    int n = rows * width;
    runLayerNorm(KernelSet.scalar(), call, kernels);
    float[] y = Kernels.floats(call.y, n);
    float[] dx = Kernels.floats(call.dx, n);
    float[] dgain = Kernels.floats(call.dgain, width);
    float[] dbias = Kernels.floats(call.dbias, width);
    checkLayerNorm(call, y, dx, dgain, dbias);
    Kernels.vectors()
        .forEach(
            set -> {
              runLayerNorm(set, call, kernels);
              assertThat(Kernels.bits(call.y, n)).isEqualTo(Kernels.bits(y));
              assertThat(Kernels.bits(call.dx, n)).isEqualTo(Kernels.bits(dx));
              assertThat(Kernels.bits(call.dgain, width)).isEqualTo(Kernels.bits(dgain));
              assertThat(Kernels.bits(call.dbias, width)).isEqualTo(Kernels.bits(dbias));
            });
  }

  private static LayerNorms layerNorm(Kernels kernels, int rows, int width, int outer, int blocks) {
    LayerNorms call = new LayerNorms(rows, width, 1e-5f, outer, blocks);
    call.x = kernels.normal(rows * width);
    call.dy = kernels.normal(rows * width);
    call.gain = kernels.normal(width);
    call.bias = kernels.normal(width);
    return call;
  }

  private static void runLayerNorm(KernelSet set, LayerNorms call, Kernels kernels) {
    call.y = kernels.zeros(call.rows * call.width);
    call.dx = kernels.zeros(call.rows * call.width);
    call.mean = kernels.zeros(call.rows);
    call.rstd = kernels.zeros(call.rows);
    call.dgain = kernels.zeros(call.width);
    call.dbias = kernels.zeros(call.width);
    long scratch = kernels.room(RowKernels.columnScratchBytes(call.blocks));
    set.norms().layerNorm(call, 0, call.rows, scratch);
    set.norms().layerNormGrad(call, 0, call.rows, scratch);
    set.norms().layerNormParamGrad(call, 0, call.width, scratch);
  }

  private static void checkLayerNorm(
      LayerNorms call, float[] y, float[] dx, float[] dgain, float[] dbias) {
    int n = call.width;
    double[] gainSums = new double[n];
    double[] biasSums = new double[n];
    for (int r = 0; r < call.rows; r++) {
      double[] x = row(call.x, r, n);
      double[] dy = row(call.dy, r, n);
      double mean = 0;
      for (double v : x) {
        mean += v / n;
      }
      double variance = 0;
      for (double v : x) {
        variance += (v - mean) * (v - mean) / n;
      }
      double rstd = 1 / Math.sqrt(variance + 1e-5);
      double c1 = 0;
      double c2 = 0;
      for (int i = 0; i < n; i++) {
        double h = dy[i] * Memory.f32(call.gain + i * 4L);
        c1 += h / n;
        c2 += h * (x[i] - mean) * rstd / n;
        gainSums[i] += dy[i] * (x[i] - mean) * rstd;
        biasSums[i] += dy[i];
      }
      for (int i = 0; i < n; i++) {
        double gain = Memory.f32(call.gain + i * 4L);
        double normal = (x[i] - mean) * rstd;
        double exact = normal * gain + Memory.f32(call.bias + i * 4L);
        assertThat((double) y[r * n + i]).isCloseTo(exact, within(1e-5));
        double grad = rstd * (dy[i] * gain - c1 - normal * c2);
        assertThat((double) dx[r * n + i]).isCloseTo(grad, within(1e-4 * Math.max(1, rstd)));
      }
    }
    for (int i = 0; i < n; i++) {
      assertThat((double) dgain[i]).isCloseTo(gainSums[i], within(1e-4));
      assertThat((double) dbias[i]).isCloseTo(biasSums[i], within(1e-4));
    }
  }

  private static double[] row(long x, int r, int n) {
    double[] row = new double[n];
    for (int i = 0; i < n; i++) {
      row[i] = Memory.f32(x + ((long) r * n + i) * 4);
    }
    return row;
  }

  @ParameterizedTest(name = "rows={0}, width={1}, outer={2}, blocks={3}")
  @CsvSource({"1, 1, 1, 1", "12, 37, 3, 4", "15, 64, 5, 2", "10, 130, 1, 12", "0, 5, 1, 2"})
  void columnSumsAreChainsInBlocksJoinedByTheTree(int rows, int width, int outer, int blocks) {
    var kernels = new Kernels(rows);
    ColumnSums call = new ColumnSums(rows, width, outer, blocks);
    call.x = kernels.normal(rows * width);
    float[] wanted = new float[width];
    for (int c = 0; c < width; c++) {
      float[] leaves = new float[blocks];
      for (int j = 0; j < blocks; j++) {
        for (int r : Kernels.block(rows, outer, blocks, j)) {
          leaves[j] += Memory.f32(call.x + ((long) r * width + c) * 4);
        }
      }
      wanted[c] = Kernels.tree(leaves, 0, blocks);
    }
    Kernels.all()
        .forEach(
            set -> {
              call.out = kernels.zeros(width);
              long scratch = kernels.room(RowKernels.columnScratchBytes(blocks));
              set.rows().columnSums(call, 0, width, scratch);
              assertThat(Kernels.bits(call.out, width)).isEqualTo(Kernels.bits(wanted));
            });
  }

  @ParameterizedTest(name = "rows={0}, vocabulary={1}, blocks={2}, outer={3}, tokenBlocks={4}")
  @CsvSource({"6, 5, 1, 1, 1", "12, 256, 4, 3, 4", "9, 77, 3, 3, 2", "8, 50, 7, 2, 3"})
  void crossEntropyHasTheSameBitsOnEveryWidthAndIsCloseToFloat64(
      int rows, int vocabulary, int blocks, int outer, int tokenBlocks) {
    var kernels = new Kernels(vocabulary);
    CrossEntropies call = new CrossEntropies(rows, vocabulary, 1, blocks, outer, tokenBlocks);
    call.logits = kernels.normal(rows * vocabulary);
    int[] targets = new int[rows];
    for (int r = 0; r < rows; r++) {
      targets[r] = r == 2 ? -1 : (r * 7) % vocabulary;
    }
    call.targets = kernels.ints(targets);
    runCrossEntropy(KernelSet.scalar(), call, kernels);
    float loss = Memory.f32(call.lossSum);
    float[] lse = Kernels.floats(call.logSumExp, rows);
    float[] grads = Kernels.floats(call.dlogits, rows * vocabulary);
    checkCrossEntropy(call, targets, loss, grads);
    Kernels.vectors()
        .forEach(
            set -> {
              runCrossEntropy(set, call, kernels);
              assertThat(Memory.f32(call.lossSum)).isEqualTo(loss);
              assertThat(Kernels.bits(call.logSumExp, rows)).isEqualTo(Kernels.bits(lse));
              assertThat(Kernels.bits(call.dlogits, rows * vocabulary))
                  .isEqualTo(Kernels.bits(grads));
            });
  }

  @Test
  void targetsOutsideTheVocabularyAreRefusedOnBothWays() {
    var kernels = new Kernels(4);
    CrossEntropies call = new CrossEntropies(2, 5, 1, 1, 1, 1);
    call.logits = kernels.normal(10);
    call.logSumExp = kernels.zeros(2);
    call.rowLoss = kernels.zeros(2);
    call.dlogits = kernels.zeros(10);
    call.targets = kernels.ints(4, 5);
    long scratch = kernels.room(call.scratchBytes());
    Kernels.all()
        .map(KernelSet::rows)
        .forEach(
            rows -> {
              assertThatThrownBy(() -> call.rows(rows, 0, 2, scratch))
                  .isInstanceOf(IndexOutOfBoundsException.class)
                  .hasMessageContaining("target=5, row=1, vocabulary=5");
              assertThatThrownBy(() -> rows.crossEntropyGrad(call, 1, 0, 2, scratch))
                  .isInstanceOf(IndexOutOfBoundsException.class)
                  .hasMessageContaining("target=5, row=1, vocabulary=5");
            });
  }

  private static void runCrossEntropy(KernelSet set, CrossEntropies call, Kernels kernels) {
    call.logSumExp = kernels.zeros(call.rows);
    call.rowLoss = kernels.zeros(call.rows);
    call.lossSum = kernels.zeros(1);
    call.count = kernels.zeros(1);
    call.dlogits = kernels.zeros(call.rows * call.vocabulary);
    long scratch = kernels.room(call.scratchBytes());
    call.rows(set.rows(), 0, call.rows, scratch);
    call.finish(set.rows(), scratch);
    set.rows().crossEntropyGrad(call, 0.25f, 0, call.rows, scratch);
  }

  private static void checkCrossEntropy(
      CrossEntropies call, int[] targets, float loss, float[] grads) {
    double exact = 0;
    int counted = 0;
    for (int r = 0; r < call.rows; r++) {
      double[] x = row(call.logits, r, call.vocabulary);
      double sum = 0;
      for (double v : x) {
        sum += Math.exp(v);
      }
      if (targets[r] >= 0) {
        exact += Math.log(sum) - x[targets[r]];
        counted++;
      }
      for (int i = 0; i < x.length; i++) {
        double grad = targets[r] < 0 ? 0 : Math.exp(x[i]) / sum - (i == targets[r] ? 1 : 0);
        assertThat((double) grads[r * x.length + i]).isCloseTo(grad / 4, within(1e-6));
      }
    }
    assertThat((double) loss).isCloseTo(exact, within(1e-4));
    assertThat(Memory.f32(call.count)).isEqualTo(counted);
  }
}
