package dev.lockstep.device.cpu;

import dev.lockstep.tensor.NarrowFloat;

/// [GemmKernels] one element at a time: the fallback and the oracle. A row of `C` is summed in
/// scratch, `k` outermost, so that `B` is read in order; nothing is packed.
final class ScalarGemm implements GemmKernels {
  private static final int COLUMNS = 64;
  private static final long CELL = COLUMNS * 4L;

  @Override
  public int panelRows() {
    return 1;
  }

  @Override
  public int panelColumns() {
    return COLUMNS;
  }

  @Override
  public long groupBytes() {
    return 0;
  }

  @Override
  public long packedBytes(Gemm gemm) {
    return 0;
  }

  @Override
  public long scratchBytes(Gemm gemm) {
    return cellsAt(gemm, 0) + (gemm.chain == null ? 0 : gemm.chain.cells() * CELL);
  }

  private static long cellsAt(Gemm gemm, long sums) {
    return sums + Tree.depth(gemm.blocks) * CELL;
  }

  @Override
  public void packB(Gemm gemm, int from, int to, long scratch) {}

  @Override
  public void compute(
      Gemm gemm, int rowFrom, int rowTo, int columnFrom, int columnTo, long scratch) {
    for (int row = rowFrom; row < rowTo; row++) {
      for (int panel = columnFrom; panel < columnTo; panel++) {
        int column = panel * panelColumns();
        rowOfPanel(gemm, row, column, Math.min(panelColumns(), gemm.n - column), scratch);
      }
    }
  }

  private static void rowOfPanel(Gemm gemm, int row, int column, int columns, long scratch) {
    long bytes = columns * 4L;
    long top = scratch;
    for (int j = 0; j < gemm.blocks; j++) {
      block(gemm, row, column, columns, j, top);
      for (int joins = Tree.joinsAfter(j); joins > 0; joins--) {
        top -= bytes;
        ScalarElements.applyBinary(ElementKernels.Binary.ADD, top, top + bytes, top, 0, columns);
      }
      top += bytes;
    }
    for (top -= bytes; top > scratch; ) {
      top -= bytes;
      ScalarElements.applyBinary(ElementKernels.Binary.ADD, top, top + bytes, top, 0, columns);
    }
    finish(gemm, row, column, columns, scratch);
  }

  private static void block(Gemm gemm, int row, int column, int columns, int j, long sums) {
    if (gemm.onward) {
      Memory.copy(gemm.c + ((long) row * gemm.ldc + column) * 4L, sums, columns * 4L);
    } else {
      Memory.zero(sums, columns * 4L);
    }
    int inner = gemm.k / gemm.outer;
    int lo = Cuts.start(j, inner, gemm.blocks);
    int hi = Cuts.start(j + 1, inner, gemm.blocks);
    for (int o = 0; o < gemm.outer; o++) {
      for (int k = o * inner + lo; k < o * inner + hi; k++) {
        float a = load(gemm.a, at(row, k, gemm.lda, gemm.transposeA), gemm.narrowA);
        for (int c = 0; c < columns; c++) {
          float b = load(gemm.b, at(k, column + c, gemm.ldb, gemm.transposeB), gemm.narrowB);
          Memory.f32(sums + c * 4L, Math.fma(a, b, Memory.f32(sums + c * 4L)));
        }
      }
    }
  }

  private static float load(long base, long i, boolean narrow) {
    return narrow ? NarrowFloat.fromBf16(Memory.i16(base + 2 * i)) : Memory.f32(base + 4 * i);
  }

  private static long at(int row, int column, int ld, boolean transposed) {
    return transposed ? (long) column * ld + row : (long) row * ld + column;
  }

  private static void finish(Gemm gemm, int row, int column, int columns, long sums) {
    for (int c = 0; c < columns; c++) {
      long at = ((long) row * gemm.ldc + column + c) * 4;
      float v = Memory.f32(sums + c * 4L);
      if (gemm.bias != 0) {
        v += Memory.f32(gemm.bias + (column + c) * 4L);
      }
      if (gemm.residual != 0) {
        v += Memory.f32(gemm.residual + at);
      }
      if (gemm.accumulate) {
        v += Memory.f32(gemm.c + at);
      }
      Memory.f32(gemm.chain == null ? gemm.c + at : sums + c * 4L, v);
    }
    if (gemm.chain != null) {
      follow(gemm, gemm.chain, gemm.first + (long) row * gemm.ldc + column, columns, sums);
    }
  }

  /// Does what follows the product on the part of a row that is in scratch.
  private static void follow(Gemm gemm, Chain chain, long first, int columns, long sums) {
    long cells = cellsAt(gemm, sums);
    for (int slot = 0; slot < chain.slots(); slot++) {
      if (chain.isRead(slot)) {
        long bytes = chain.itemBytes(slot);
        long from = chain.address(slot) + first * bytes;
        Memory.copy(from, cell(sums, cells, slot), columns * bytes);
      }
    }
    chain.tile(sums, cells, CELL, 1, columns, columns, first, gemm.ldc);
    for (int slot = 0; slot < chain.slots(); slot++) {
      if (chain.isWritten(slot)) {
        long bytes = chain.itemBytes(slot);
        Memory.copy(cell(sums, cells, slot), chain.address(slot) + first * bytes, columns * bytes);
      }
    }
  }

  private static long cell(long sums, long cells, int slot) {
    return slot == 0 ? sums : cells + (slot - 1) * CELL;
  }
}
