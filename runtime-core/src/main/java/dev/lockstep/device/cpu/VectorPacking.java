package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import dev.lockstep.tensor.DType;
import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorSpecies;

/// [PackKernels] on the Vector API, one hidden class per width (see [KernelSet]).
final class VectorPacking implements PackKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final int LANES = S.length();
  private static final long VECTOR = S.vectorByteSize();
  private static final boolean WIDE = LANES == 16;
  private static final int ROWS = WIDE ? 12 : 6;
  private static final int COLUMNS = 2 * LANES;
  private static final long A_ROW = ROWS * 4L;
  private static final long B_ROW = 2 * VECTOR;

  /// Panels that are packed at once: as many pages are written in turn.
  private static final int STREAMS = 16;

  /// The same of a part, which thereby reads whole rows of `B`.
  private static final int PART_STREAMS = 64;

  /// The lanes that a row of packed `A` fills.
  private static final VectorMask<Float> A_LANES = S.indexInRange(0, ROWS);

  private final CastKernels casts;

  VectorPacking(CastKernels casts) {
    this.casts = casts;
  }

  @Override
  public void columns(Gemm gemm, int from, int to, long scratch) {
    if (gemm.narrowB) {
      narrowColumns(gemm, from, to, scratch);
      return;
    }
    int whole = from;
    if (!gemm.transposeB && gemm.blocks == 1) {
      int streams = gemm.part ? PART_STREAMS : STREAMS;
      for (; whole < Math.min(to, gemm.n / COLUMNS); ) {
        int panels = Math.min(streams, Math.min(to, gemm.n / COLUMNS) - whole);
        packPairs(gemm, whole, panels);
        whole += panels;
      }
    }
    for (int panel = whole; panel < to; panel++) {
      int column = panel * COLUMNS;
      int columns = Math.min(COLUMNS, gemm.n - column);
      long panelAddress = gemm.packed + (long) panel * gemm.k * B_ROW;
      if (gemm.transposeB) {
        pack(gemm, gemm.b + column * 4L * gemm.ldb, gemm.ldb, true, columns, COLUMNS, panelAddress);
      } else {
        pack(gemm, gemm.b + column * 4L, gemm.ldb, false, columns, COLUMNS, panelAddress);
      }
    }
  }

  /// Packs some whole column panels, so that the rows of `B` are read in long pieces.
  private static void packPairs(Gemm gemm, int first, int panels) {
    long panelBytes = gemm.k * B_ROW;
    for (int k = 0; k < gemm.k; k++) {
      long source = gemm.b + 4L * k * gemm.ldb + first * B_ROW;
      long target = gemm.packed + first * panelBytes + k * B_ROW;
      for (int panel = 0; panel < panels; panel++) {
        FloatVector.fromMemorySegment(S, ALL, at(source), LITTLE_ENDIAN)
            .intoMemorySegment(ALL, at(target), LITTLE_ENDIAN);
        FloatVector.fromMemorySegment(S, ALL, at(source + VECTOR), LITTLE_ENDIAN)
            .intoMemorySegment(ALL, at(target + VECTOR), LITTLE_ENDIAN);
        source += B_ROW;
        target += panelBytes;
      }
    }
  }

  @Override
  public void rows(Gemm gemm, int from, int to, long out, long panelBytes, long scratch) {
    if (!gemm.narrowA) {
      long step = gemm.transposeA ? A_ROW : A_ROW * gemm.lda;
      rows(gemm, gemm.a + from * step, gemm.lda, from, to, out, panelBytes);
      return;
    }
    int first = from * ROWS;
    int count = Math.min(gemm.m, to * ROWS) - first;
    if (gemm.transposeA) {
      widen(gemm.a + first * 2L, gemm.lda, gemm.k, count, scratch);
      rows(gemm, scratch, count, from, to, out, panelBytes);
    } else {
      widen(gemm.a + first * 2L * gemm.lda, gemm.lda, count, gemm.k, scratch);
      rows(gemm, scratch, gemm.k, from, to, out, panelBytes);
    }
  }

  /// Packs row panels `[from, to)`, each `panelBytes` after the one before; `source` is where the
  /// first one's rows begin, `ld` their leading dimension.
  private static void rows(
      Gemm gemm, long source, int ld, int from, int to, long out, long panelBytes) {
    int whole = from;
    if (gemm.transposeA && WIDE && gemm.blocks == 1) {
      whole = Math.max(from, Math.min(to, gemm.m / ROWS));
      packRows(source, ld * 4L, gemm.k, whole - from, out, panelBytes);
    }
    long step = gemm.transposeA ? A_ROW : A_ROW * ld;
    for (int i = whole; i < to; i++) {
      int filled = Math.min(ROWS, gemm.m - i * ROWS);
      long panel = out + (i - from) * panelBytes;
      pack(gemm, source + (i - from) * step, ld, !gemm.transposeA, filled, ROWS, panel);
    }
  }

  /// Packs column panels of a bfloat16 `B`, each widened in scratch first.
  private void narrowColumns(Gemm gemm, int from, int to, long scratch) {
    for (int panel = from; panel < to; panel++) {
      int column = panel * COLUMNS;
      int columns = Math.min(COLUMNS, gemm.n - column);
      long out = gemm.packed + (long) panel * gemm.k * B_ROW;
      if (gemm.transposeB) {
        widen(gemm.b + column * 2L * gemm.ldb, gemm.ldb, columns, gemm.k, scratch);
        pack(gemm, scratch, gemm.k, true, columns, COLUMNS, out);
      } else {
        widen(gemm.b + column * 2L, gemm.ldb, gemm.k, columns, scratch);
        pack(gemm, scratch, columns, false, columns, COLUMNS, out);
      }
    }
  }

  /// Widens `rows` rows of `n` elements, `ld` elements apart, into rows side by side.
  private void widen(long from, int ld, int rows, int n, long to) {
    for (int row = 0; row < rows; row++) {
      long source = from + 2L * row * ld;
      casts.cast(DType.BF16, DType.F32, source, to + 4L * row * n, n);
    }
  }

  /// Packs one panel with `k` in block order; `along` says that a source row runs along `k`.
  private static void pack(
      Gemm gemm, long from, int ld, boolean along, int filled, int width, long to) {
    // One block takes its slices as they lie.
    int outer = gemm.blocks == 1 ? 1 : gemm.outer;
    int inner = gemm.k / outer;
    long out = to;
    for (int j = 0; j < gemm.blocks; j++) {
      int lo = Cuts.start(j, inner, gemm.blocks);
      int length = Cuts.start(j + 1, inner, gemm.blocks) - lo;
      for (int o = 0; o < outer; o++) {
        long k = (long) o * inner + lo;
        if (along) {
          packAlong(from + k * 4L, ld * 4L, length, filled, width, out);
        } else if (filled == width && width == COLUMNS) {
          packPairs(from + k * 4L * ld, ld * 4L, length, out);
        } else if (filled == width && width == ROWS && WIDE) {
          packRows(from + k * 4L * ld, ld * 4L, length, 1, out, 0);
        } else {
          packAcross(from + k * 4L * ld, ld * 4L, length, filled, width, out);
        }
        out += length * 4L * width;
      }
    }
  }

  private static void packAlong(
      long from, long stride, int length, int filled, int width, long to) {
    int whole = 0;
    if (WIDE && filled == width) {
      whole = length & -LANES;
      VectorTranspose.panel(from, stride, whole, width, to);
    }
    long rest = from + whole * 4L;
    Packing.along(rest, stride, length - whole, filled, width, to + whole * 4L * width);
  }

  /// Copies rows of some panels of 12 that lie side by side, four rows of `k` at once: memory is
  /// read in four places, and three lines of a panel are written whole. A store reaches into the
  /// next row of its panel, which is written after it.
  private static void packRows(
      long from, long stride, int length, int panels, long to, long panelBytes) {
    int i = 0;
    for (; i + 4 <= length; i += 4) {
      long source = from + i * stride;
      long target = to + i * A_ROW;
      for (int panel = 0; panel < panels; panel++) {
        packFourRows(source + panel * A_ROW, stride, target + panel * panelBytes);
      }
    }
    for (; i < length; i++) {
      long source = from + i * stride;
      long target = to + i * A_ROW;
      for (int panel = 0; panel < panels; panel++) {
        FloatVector.fromMemorySegment(S, ALL, at(source + panel * A_ROW), LITTLE_ENDIAN, A_LANES)
            .intoMemorySegment(ALL, at(target + panel * panelBytes), LITTLE_ENDIAN);
      }
    }
  }

  private static void packFourRows(long from, long stride, long to) {
    long target = at(to);
    FloatVector.fromMemorySegment(S, ALL, at(from), LITTLE_ENDIAN, A_LANES)
        .intoMemorySegment(ALL, target, LITTLE_ENDIAN);
    FloatVector.fromMemorySegment(S, ALL, at(from + stride), LITTLE_ENDIAN, A_LANES)
        .intoMemorySegment(ALL, target + A_ROW, LITTLE_ENDIAN);
    FloatVector.fromMemorySegment(S, ALL, at(from + 2 * stride), LITTLE_ENDIAN, A_LANES)
        .intoMemorySegment(ALL, target + 2 * A_ROW, LITTLE_ENDIAN);
    FloatVector.fromMemorySegment(S, ALL, at(from + 3 * stride), LITTLE_ENDIAN, A_LANES)
        .intoMemorySegment(ALL, target + 3 * A_ROW, LITTLE_ENDIAN);
  }

  private static void packPairs(long from, long stride, int length, long to) {
    for (int i = 0; i < length; i++) {
      long source = at(from + i * stride);
      long target = at(to + i * B_ROW);
      FloatVector.fromMemorySegment(S, ALL, at(source), LITTLE_ENDIAN)
          .intoMemorySegment(ALL, at(target), LITTLE_ENDIAN);
      FloatVector.fromMemorySegment(S, ALL, at(source + VECTOR), LITTLE_ENDIAN)
          .intoMemorySegment(ALL, at(target + VECTOR), LITTLE_ENDIAN);
    }
  }

  private static void packAcross(
      long from, long stride, int length, int filled, int width, long to) {
    for (int i = 0; i < length; i++) {
      long source = from + i * stride;
      long target = to + i * 4L * width;
      int c = 0;
      for (; c + LANES <= filled; c += LANES) {
        FloatVector.fromMemorySegment(S, ALL, at(source + c * 4L), LITTLE_ENDIAN)
            .intoMemorySegment(ALL, at(target + c * 4L), LITTLE_ENDIAN);
      }
      for (; c < filled; c++) {
        Memory.i32(target + c * 4L, Memory.i32(source + c * 4L));
      }
      for (; c < width; c++) {
        Memory.i32(target + c * 4L, 0);
      }
    }
  }
}
