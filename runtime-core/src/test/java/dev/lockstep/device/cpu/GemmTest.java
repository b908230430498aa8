package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.tensor.DType;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class GemmTest {
  private static Stream<Arguments> shapes() {
    return Stream.of(
            new int[] {1, 1, 1, 1, 1},
            new int[] {12, 32, 16, 1, 1},
            new int[] {13, 33, 17, 1, 1},
            new int[] {14, 44, 27, 1, 1},
            new int[] {5, 7, 64, 1, 4},
            new int[] {25, 70, 51, 3, 4},
            new int[] {37, 5, 48, 3, 5},
            new int[] {6, 40, 9, 1, 12},
            // Of a transposed A more is packed at once than multiplied.
            new int[] {200, 5, 2100, 1, 1},
            new int[] {200, 5, 2100, 1, 4},
            new int[] {0, 8, 8, 1, 1},
            new int[] {8, 0, 8, 1, 1},
            new int[] {8, 8, 0, 1, 2})
        .flatMap(
            s ->
                Stream.of(0, 1, 2, 3)
                    .map(t -> Arguments.of(s[0], s[1], s[2], s[3], s[4], t >= 2, t % 2 == 1)));
  }

  /// Those of one block, without the long sums, which tell no more here.
  private static Stream<Arguments> shapesOfOneBlock() {
    return shapes()
        .map(Arguments::get)
        .filter(s -> s[3].equals(1) && s[4].equals(1) && (int) s[2] < 1000)
        .map(s -> Arguments.of(s[0], s[1], s[2], s[5], s[6]));
  }

  @ParameterizedTest(name = "m={0} n={1} k={2} outer={3} blocks={4} tA={5} tB={6}")
  @MethodSource("shapes")
  void addsAscendingInBlocksJoinedByTheTree(
      int m, int n, int k, int outer, int blocks, boolean tA, boolean tB) {
    var kernels = new Kernels(m * 31L + n);
    Gemm gemm = Gemm.of(m, n, k, tA, tB, outer, blocks);
    gemm.a = kernels.normal(m * k);
    gemm.b = kernels.normal(k * n);
    float[] a = Kernels.floats(gemm.a, m * k);
    float[] b = Kernels.floats(gemm.b, k * n);
    float[] wanted = new float[m * n];
    for (int i = 0; i < m * n; i++) {
      float[] leaves = new float[blocks];
      for (int j = 0; j < blocks; j++) {
        for (int x : Kernels.block(k, outer, blocks, j)) {
          float left = tA ? a[x * m + i / n] : a[i / n * k + x];
          float right = tB ? b[i % n * k + x] : b[x * n + i % n];
          leaves[j] = Math.fma(left, right, leaves[j]);
        }
      }
      wanted[i] = Kernels.tree(leaves, 0, blocks);
    }
    Kernels.all()
        .forEach(
            set -> {
              gemm.c = kernels.zeros(m * n);
              multiply(set, gemm, kernels);
              assertThat(Kernels.bits(gemm.c, m * n))
                  .as("%d bits", set.vectorBits())
                  .isEqualTo(Kernels.bits(wanted));
            });
  }

  @ParameterizedTest(name = "m={0} n={1} k={2} outer={3} blocks={4} tA={5} tB={6}")
  @MethodSource("shapes")
  void bfloat16OperandsAreWidenedOnTheWay(
      int m, int n, int k, int outer, int blocks, boolean tA, boolean tB) {
    var kernels = new Kernels(m * 31L + n);
    Gemm wide = Gemm.of(m, n, k, tA, tB, outer, blocks);
    Gemm narrow = Gemm.of(m, n, k, tA, tB, outer, blocks);
    narrow.a = narrowed(kernels, m * k);
    narrow.b = narrowed(kernels, k * n);
    CastKernels casts = KernelSet.scalar().casts();
    wide.a = kernels.zeros(m * k);
    wide.b = kernels.zeros(k * n);
    casts.cast(DType.BF16, DType.F32, narrow.a, wide.a, m * k);
    casts.cast(DType.BF16, DType.F32, narrow.b, wide.b, k * n);
    wide.c = kernels.zeros(m * n);
    multiply(KernelSet.scalar(), wide, kernels);
    long both = narrow.b;
    Kernels.all()
        .forEach(
            set -> {
              for (boolean alsoB : new boolean[] {true, false}) {
                narrow.narrowA = true;
                narrow.narrowB = alsoB;
                narrow.b = alsoB ? both : wide.b;
                narrow.c = kernels.zeros(m * n);
                multiply(set, narrow, kernels);
                assertThat(Kernels.bits(narrow.c, m * n)).isEqualTo(Kernels.bits(wide.c, m * n));
              }
            });
  }

  private static long narrowed(Kernels kernels, int n) {
    long out = kernels.room(2L * n);
    KernelSet.scalar().casts().cast(DType.F32, DType.BF16, kernels.normal(n), out, n);
    return out;
  }

  static void multiply(KernelSet set, Gemm gemm, Kernels kernels) {
    GemmKernels gemms = set.gemm();
    gemm.packed = kernels.room(gemms.packedBytes(gemm));
    long scratch = kernels.room(gemms.scratchBytes(gemm));
    gemms.packB(gemm, 0, gemms.columnPanels(gemm), scratch);
    gemms.compute(gemm, 0, gemms.rowPanels(gemm), 0, gemms.columnPanels(gemm), scratch);
  }

  @ParameterizedTest(name = "m={0} n={1} k={2} tA={3} tB={4}")
  @MethodSource("shapesOfOneBlock")
  void partsMadeInTurnHaveTheBitsOfTheWhole(int m, int n, int k, boolean tA, boolean tB) {
    var kernels = new Kernels(m * 31L + n);
    Gemm whole = Gemm.of(m, n, k, tA, tB, 1, 1);
    whole.a = kernels.normal(m * k);
    whole.b = kernels.normal(k * n);
    whole.c = kernels.zeros(m * n);
    multiply(KernelSet.scalar(), whole, kernels);
    int[] wanted = Kernels.bits(whole.c, m * n);
    Kernels.all()
        .forEach(
            set -> {
              whole.c = kernels.zeros(m * n);
              for (int i = 0; i < 3; i++) {
                Gemm part = whole.part(Cuts.start(i, k, 3), Cuts.start(i + 1, k, 3));
                part.takeAddresses(whole);
                multiply(set, part, kernels);
              }
              assertThat(Kernels.bits(whole.c, m * n))
                  .as("%d bits", set.vectorBits())
                  .isEqualTo(wanted);
            });
  }

  @Test
  void isCloseToFloat64() {
    int m = 70;
    int n = 90;
    int k = 300;
    var kernels = new Kernels(5);
    Gemm gemm = Gemm.of(m, n, k, false, false, 1, 4);
    gemm.a = kernels.normal(m * k);
    gemm.b = kernels.normal(k * n);
    Kernels.all()
        .forEach(
            set -> {
              gemm.c = kernels.zeros(m * n);
              multiply(set, gemm, kernels);
              for (int i = 0; i < m * n; i++) {
                double exact = 0;
                for (int x = 0; x < k; x++) {
                  exact +=
                      (double) Memory.f32(gemm.a + (i / n * k + x) * 4L)
                          * Memory.f32(gemm.b + (x * n + i % n) * 4L);
                }
                // 300 roundings of sums of about 17: each at most half an ulp of 64.
                assertThat((double) Memory.f32(gemm.c + i * 4L))
                    .isCloseTo(exact, org.assertj.core.api.Assertions.within(1e-4));
              }
            });
  }

  /// Rows so far apart that a row's offset is past what 32 bits hold, in elements; the file's holes
  /// take no room.
  @Test
  void rowsFarApartAreMultipliedAsIfTheyWereClose(@TempDir Path folder) throws IOException {
    int m = 29;
    int n = 37;
    int k = 31;
    int apart = 100_000_007;
    long bytes = (long) apart * n * Float.BYTES;
    Path file = folder.resolve("sparse");
    try (Arena arena = Arena.ofConfined();
        FileChannel channel =
            FileChannel.open(
                file,
                StandardOpenOption.CREATE_NEW,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE)) {
      long base = channel.map(FileChannel.MapMode.READ_WRITE, 0, 3 * bytes, arena).address();
      for (boolean transposeA : new boolean[] {false, true}) {
        for (boolean transposeB : new boolean[] {false, true}) {
          Kernels kernels = new Kernels(8);
          Gemm close = Gemm.of(m, n, k, transposeA, transposeB, 1, 2);
          close.a = kernels.normal(m * k);
          close.b = kernels.normal(k * n);
          Gemm far = new Gemm(m, n, k, transposeA, transposeB, apart, apart, apart, 1, 2);
          far.a = base;
          far.b = base + bytes;
          far.c = base + 2 * bytes;
          spread(close.a, close.lda, far.a, apart, m * k);
          spread(close.b, close.ldb, far.b, apart, k * n);
          Kernels.all()
              .forEach(
                  set -> {
                    close.c = kernels.zeros(m * n);
                    multiply(set, close, kernels);
                    multiply(set, far, kernels);
                    for (int i = 0; i < m * n; i++) {
                      long element = (long) (i / n) * apart + i % n;
                      assertThat(Memory.f32(far.c + element * Float.BYTES))
                          .isEqualTo(Memory.f32(close.c + (long) i * Float.BYTES));
                    }
                  });
        }
      }
    }
  }

  private static void spread(long from, int width, long to, int apart, int elements) {
    for (int i = 0; i < elements; i++) {
      long element = (long) (i / width) * apart + i % width;
      Memory.f32(to + element * Float.BYTES, Memory.f32(from + (long) i * Float.BYTES));
    }
  }

  @Test
  void addsBiasThenResidualThenTheOldValue() {
    int m = 15;
    int n = 37;
    int k = 20;
    var kernels = new Kernels(6);
    Gemm gemm = Gemm.of(m, n, k, false, true, 1, 3);
    gemm.a = kernels.normal(m * k);
    gemm.b = kernels.normal(k * n);
    gemm.c = kernels.zeros(m * n);
    multiply(KernelSet.scalar(), gemm, kernels);
    float[] product = Kernels.floats(gemm.c, m * n);
    gemm.bias = kernels.normal(n);
    gemm.residual = kernels.normal(m * n);
    gemm.accumulate = true;
    long old = kernels.normal(m * n);
    Kernels.all()
        .forEach(
            set -> {
              gemm.c = kernels.of(m * n, i -> Memory.f32(old + i * 4L));
              multiply(set, gemm, kernels);
              for (int i = 0; i < m * n; i++) {
                float wanted =
                    product[i]
                        + Memory.f32(gemm.bias + i % n * 4L)
                        + Memory.f32(gemm.residual + i * 4L)
                        + Memory.f32(old + i * 4L);
                assertThat(Memory.f32(gemm.c + i * 4L)).isEqualTo(wanted);
              }
            });
  }

  @Test
  void aRowHasTheSameBitsWhateverTheOthersAre() {
    int n = 50;
    int k = 33;
    var kernels = new Kernels(7);
    long a = kernels.normal(40 * k);
    long b = kernels.normal(k * n);
    Kernels.all()
        .forEach(
            set -> {
              Gemm all = Gemm.of(40, n, k, false, false, 1, 2);
              all.a = a;
              all.b = b;
              all.c = kernels.zeros(40 * n);
              multiply(set, all, kernels);
              Gemm one = Gemm.of(1, n, k, false, false, 1, 2);
              one.a = a + 4L * 29 * k;
              one.b = b;
              one.c = kernels.zeros(n);
              multiply(set, one, kernels);
              assertThat(Kernels.bits(one.c, n)).isEqualTo(Kernels.bits(all.c + 4L * 29 * n, n));
            });
  }

  @Test
  void notANumberAndInfinityStayInTheirRowsAndColumns() {
    int m = 20;
    int n = 40;
    int k = 10;
    var kernels = new Kernels(8);
    Gemm gemm = Gemm.of(m, n, k, false, false, 1, 1);
    gemm.a = kernels.of(m * k, i -> i == 3 * k + 2 ? Double.NaN : 1);
    gemm.b = kernels.of(k * n, i -> i == n + 7 ? Double.POSITIVE_INFINITY : 1);
    Kernels.all()
        .forEach(
            set -> {
              gemm.c = kernels.zeros(m * n);
              multiply(set, gemm, kernels);
              for (int i = 0; i < m * n; i++) {
                float wanted = i / n == 3 ? Float.NaN : i % n == 7 ? Float.POSITIVE_INFINITY : 10f;
                assertThat(Float.valueOf(Memory.f32(gemm.c + i * 4L)))
                    .isEqualTo(Float.valueOf(wanted));
              }
            });
  }

  @Test
  void leavesWhatLiesBetweenRowsAlone() {
    var kernels = new Kernels(9);
    var random = new Random(9);
    int lda = 30;
    int ldc = 41;
    Gemm gemm = new Gemm(14, 33, 20, false, false, lda, 35, ldc, 1, 1);
    gemm.a = kernels.normal(14 * lda);
    gemm.b = kernels.normal(20 * 35);
    float mark = random.nextFloat();
    Kernels.all()
        .forEach(
            set -> {
              gemm.c = kernels.of(14 * ldc, _ -> mark);
              multiply(set, gemm, kernels);
              for (int i = 0; i < 14 * ldc; i++) {
                if (i % ldc >= 33) {
                  assertThat(Memory.f32(gemm.c + i * 4L)).isEqualTo(mark);
                }
              }
            });
  }
}
