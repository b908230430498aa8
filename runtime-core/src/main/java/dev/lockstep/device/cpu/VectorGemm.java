package dev.lockstep.device.cpu;

import static dev.lockstep.device.cpu.Memory.ALL;
import static dev.lockstep.device.cpu.Memory.at;
import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.invoke.MethodHandles;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorSpecies;

/// [GemmKernels] on the Vector API, one hidden class per width (see [KernelSet]).
///
/// `op(A)` is packed row panel by row panel into `[k][panelRows]`, `op(B)` column panel by column
/// panel into `[k][panelColumns]`, both with `k` in the order of the blocks. A tile of `C` then is
/// one loop over `k` with all of its sums in registers: 12 x 2 vectors fit the 32 registers of 512
/// bits, 6 x 2 the 16 of narrower ones. Every accumulator is a named local, because arrays of
/// vectors are spilled.
final class VectorGemm implements GemmKernels {
  private static final VectorSpecies<Float> S = KernelSet.species(MethodHandles.lookup());
  private static final int LANES = S.length();
  private static final long VECTOR = S.vectorByteSize();
  private static final boolean WIDE = LANES == 16;
  private static final int ROWS = WIDE ? 12 : 6;
  private static final int COLUMNS = 2 * LANES;
  private static final long A_ROW = ROWS * 4L;
  private static final long B_ROW = 2 * VECTOR;
  private static final long TILE = ROWS * B_ROW;

  /// Panels of a transposed `A` that are packed at once where there is room: a row of `A` holds
  /// them side by side, and is read in whole lines. Of a part it is as many times as many as there
  /// is room for.
  private static final int ACROSS = 16;

  /// What a part of `k` has at least: what its sums cost to leave the registers and to come back is
  /// some percent of it.
  private static final int PART_DEPTH = 512;

  private final PackKernels packing;
  private final TileKernels tiles;
  private final Caches caches;

  VectorGemm(PackKernels packing, TileKernels tiles, Caches caches) {
    this.packing = packing;
    this.tiles = tiles;
    this.caches = caches;
  }

  @Override
  public int panelRows() {
    return ROWS;
  }

  @Override
  public int panelColumns() {
    return COLUMNS;
  }

  /// A transposed `A` and a `B` as it lies, as in the gradient of a weight, are both read row of
  /// `k` by row: a part of `k` is one piece of memory of either. So where `B` would be packed in
  /// groups of columns, `k` is cut instead, and each part packs all columns of `B` in order and `A`
  /// once. The price, `C` read and written for each part, is less than `A`'s packing for each group
  /// where there are no more columns than `k`.
  @Override
  public int parts(Gemm gemm) {
    boolean inOrder = gemm.transposeA && !gemm.transposeB;
    if (!WIDE || !inOrder || gemm.n > gemm.k || packedBytes(gemm) <= groupBytes()) {
      return 1;
    }
    long depth = groupBytes() / (columnPanels(gemm) * B_ROW);
    return Math.ceilDiv(gemm.k, (int) Math.max(PART_DEPTH, depth));
  }

  @Override
  public long groupBytes() {
    return caches.groupBytes();
  }

  @Override
  public long packedBytes(Gemm gemm) {
    return (long) columnPanels(gemm) * gemm.k * B_ROW;
  }

  @Override
  public long scratchBytes(Gemm gemm) {
    long multiplying = packedPanels(gemm) * aPanelBytes(gemm) + tileBytes(gemm);
    if (gemm.narrowA) {
      multiplying += packedPanels(gemm) * A_ROW * gemm.k;
    }
    return gemm.narrowB ? Math.max(multiplying, B_ROW * gemm.k) : multiplying;
  }

  /// Room for what becomes a tile: the stack of its blocks' sums, and what is done with the result.
  private static long tileBytes(Gemm gemm) {
    return (Tree.depth(gemm.blocks) + (gemm.chain == null ? 0 : gemm.chain.cells())) * TILE;
  }

  /// How many row panels share a column panel that comes from the last-level cache, and stay in the
  /// core's own together with it.
  private int sharingPanels(Gemm gemm) {
    long panels = caches.sharingBytes() / Math.max(1, aPanelBytes(gemm));
    return Math.clamp(panels, 1, Math.max(1, Math.ceilDiv(gemm.m, ROWS)));
  }

  /// How many row panels are packed at once: those that share, and more of a transposed `A`.
  private int packedPanels(Gemm gemm) {
    int sharing = sharingPanels(gemm);
    if (!gemm.transposeA) {
      return sharing;
    }
    long fit = caches.acrossBytes() / Math.max(1, aPanelBytes(gemm));
    long panels = gemm.part ? Math.max(ACROSS, fit - fit % ACROSS) : ACROSS;
    panels = Math.min(panels, fit);
    return Math.clamp(panels, sharing, Math.max(sharing, Math.ceilDiv(gemm.m, ROWS)));
  }

  /// Room for a packed row panel, and for the store that reaches past it.
  private static long aPanelBytes(Gemm gemm) {
    return (gemm.k * A_ROW + 16 + 63) & -64L;
  }

  @Override
  public void packB(Gemm gemm, int from, int to, long scratch) {
    packing.columns(gemm, from, to, scratch);
  }

  @Override
  public void compute(
      Gemm gemm, int rowFrom, int rowTo, int columnFrom, int columnTo, long scratch) {
    int panels = packedPanels(gemm);
    int sharing = sharingPanels(gemm);
    long panelBytes = aPanelBytes(gemm);
    long sums = scratch + panels * panelBytes;
    long wide = sums + tileBytes(gemm);
    for (int first = rowFrom; first < rowTo; first += panels) {
      int end = Math.min(rowTo, first + panels);
      packing.rows(gemm, first, end, scratch, panelBytes, wide);
      for (int next = first; next < end; next += sharing) {
        int last = Math.min(end, next + sharing);
        long panel = scratch + (next - first) * panelBytes;
        multiply(gemm, next, last, columnFrom, columnTo, panel, panelBytes, sums);
      }
    }
  }

  /// Multiplies packed row panels `[from, to)` by column panels; `panel` is the first of them.
  private void multiply(
      Gemm gemm,
      int from,
      int to,
      int columnFrom,
      int columnTo,
      long panel,
      long panelBytes,
      long sums) {
    for (int j = columnFrom; j < columnTo; j++) {
      for (int i = from; i < to; i++) {
        tile(gemm, i * ROWS, rows(gemm, i), j, panel + (i - from) * panelBytes, sums);
      }
    }
  }

  /// Rows of `C` in row panel `panel`.
  private static int rows(Gemm gemm, int panel) {
    return Math.min(ROWS, gemm.m - panel * ROWS);
  }

  private void tile(Gemm gemm, int row, int rows, int panel, long aPanel, long sums) {
    int column = panel * COLUMNS;
    int columns = Math.min(COLUMNS, gemm.n - column);
    long bPanel = gemm.packed + (long) panel * gemm.k * B_ROW;
    long target = gemm.c + ((long) row * gemm.ldc + column) * 4L;
    boolean whole = rows == ROWS && columns == COLUMNS;
    if (gemm.onward) {
      if (whole) {
        tiles.multiplyOn(aPanel, bPanel, gemm.k, target, gemm.ldc * 4L);
      } else {
        goOnAtEdge(gemm, rows, columns, aPanel, bPanel, sums, target);
      }
      return;
    }
    if (gemm.blocks == 1) {
      if (whole && gemm.plain()) {
        tiles.multiply(aPanel, bPanel, gemm.k, target, gemm.ldc * 4L);
        return;
      }
      tiles.multiply(aPanel, bPanel, gemm.k, sums, B_ROW);
    } else {
      joinBlocks(gemm, aPanel, bPanel, sums);
    }
    if (gemm.chain == null) {
      finish(gemm, row, column, rows, columns, sums, target, gemm.ldc * 4L);
    } else {
      finish(gemm, row, column, rows, columns, sums, sums, B_ROW);
      follow(gemm, gemm.chain, row, column, rows, columns, sums);
    }
  }

  private void goOnAtEdge(
      Gemm gemm, int rows, int columns, long aPanel, long bPanel, long sums, long target) {
    long step = gemm.ldc * 4L;
    for (int r = 0; r < rows; r++) {
      Memory.copy(target + r * step, sums + r * B_ROW, columns * 4L);
    }
    tiles.multiplyOn(aPanel, bPanel, gemm.k, sums, B_ROW);
    for (int r = 0; r < rows; r++) {
      Memory.copy(sums + r * B_ROW, target + r * step, columns * 4L);
    }
  }

  private void joinBlocks(Gemm gemm, long aPanel, long bPanel, long sums) {
    int inner = gemm.k / gemm.outer;
    long top = sums;
    int k = 0;
    for (int j = 0; j < gemm.blocks; j++) {
      int depth = Cuts.start(j + 1, inner, gemm.blocks) - Cuts.start(j, inner, gemm.blocks);
      depth *= gemm.outer;
      tiles.multiply(aPanel + k * A_ROW, bPanel + k * B_ROW, depth, top, B_ROW);
      k += depth;
      for (int joins = Tree.joinsAfter(j); joins > 0; joins--) {
        top -= TILE;
        addTile(top);
      }
      top += TILE;
    }
    for (top -= TILE; top > sums; ) {
      top -= TILE;
      addTile(top);
    }
  }

  /// Adds the subtree above `tile` into it.
  private static void addTile(long tile) {
    for (long o = 0; o < TILE; o += VECTOR) {
      long address = at(tile + o);
      FloatVector.fromMemorySegment(S, ALL, at(address), LITTLE_ENDIAN)
          .add(FloatVector.fromMemorySegment(S, ALL, at(address + TILE), LITTLE_ENDIAN))
          .intoMemorySegment(ALL, at(address), LITTLE_ENDIAN);
    }
  }

  /// Adds what the epilogue adds and stores the tile at `target`, rows `step` bytes apart.
  private static void finish(
      Gemm gemm, int row, int column, int rows, int columns, long sums, long target, long step) {
    long residual = gemm.residual + ((long) row * gemm.ldc + column) * 4L;
    long bias = gemm.bias + column * 4L;
    if (rows != ROWS || columns != COLUMNS || gemm.accumulate) {
      finishEdge(gemm, rows, columns, sums, target, step, bias, residual);
    } else if (gemm.residual == 0) {
      if (gemm.bias != 0 || target != sums) {
        addBias(sums, bias, gemm.bias != 0, target, step);
      }
    } else {
      if (gemm.bias != 0) {
        addBias(sums, bias, true, sums, B_ROW);
      }
      addRows(sums, residual, gemm.ldc * 4L, target, step);
    }
  }

  /// Adds one row to all rows of a whole tile, or copies it.
  private static void addBias(long sums, long bias, boolean biased, long target, long step) {
    FloatVector x = FloatVector.zero(S);
    FloatVector y = x;
    if (biased) {
      x = FloatVector.fromMemorySegment(S, ALL, at(bias), LITTLE_ENDIAN);
      y = FloatVector.fromMemorySegment(S, ALL, at(bias + VECTOR), LITTLE_ENDIAN);
    }
    for (int r = 0; r < ROWS; r++) {
      long from = at(sums + r * B_ROW);
      long to = at(target + r * step);
      FloatVector c = FloatVector.fromMemorySegment(S, ALL, from, LITTLE_ENDIAN);
      FloatVector d = FloatVector.fromMemorySegment(S, ALL, from + VECTOR, LITTLE_ENDIAN);
      // Adding a zero where there is no bias would turn -0 into 0.
      (biased ? c.add(x) : c).intoMemorySegment(ALL, to, LITTLE_ENDIAN);
      (biased ? d.add(y) : d).intoMemorySegment(ALL, to + VECTOR, LITTLE_ENDIAN);
    }
  }

  /// Adds the rows of another matrix to those of a whole tile.
  private static void addRows(long sums, long residual, long stride, long target, long step) {
    for (int r = 0; r < ROWS; r++) {
      long from = at(sums + r * B_ROW);
      long other = at(residual + r * stride);
      long to = at(target + r * step);
      FloatVector c = FloatVector.fromMemorySegment(S, ALL, from, LITTLE_ENDIAN);
      FloatVector d = FloatVector.fromMemorySegment(S, ALL, from + VECTOR, LITTLE_ENDIAN);
      c = c.add(FloatVector.fromMemorySegment(S, ALL, other, LITTLE_ENDIAN));
      d = d.add(FloatVector.fromMemorySegment(S, ALL, other + VECTOR, LITTLE_ENDIAN));
      c.intoMemorySegment(ALL, to, LITTLE_ENDIAN);
      d.intoMemorySegment(ALL, to + VECTOR, LITTLE_ENDIAN);
    }
  }

  private static void finishEdge(
      Gemm gemm,
      int rows,
      int columns,
      long sums,
      long target,
      long step,
      long bias,
      long residual) {
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < columns; c += LANES) {
        long other = at(residual + r * 4L * gemm.ldc + c * 4L);
        long to = at(target + r * step + c * 4L);
        VectorMask<Float> mask = S.indexInRange(0, columns - c);
        FloatVector v =
            FloatVector.fromMemorySegment(S, ALL, at(sums + r * B_ROW + c * 4L), LITTLE_ENDIAN);
        if (gemm.bias != 0) {
          v = v.add(FloatVector.fromMemorySegment(S, ALL, at(bias + c * 4L), LITTLE_ENDIAN, mask));
        }
        if (gemm.residual != 0) {
          v = v.add(FloatVector.fromMemorySegment(S, ALL, other, LITTLE_ENDIAN, mask));
        }
        if (gemm.accumulate) {
          v = v.add(FloatVector.fromMemorySegment(S, ALL, to, LITTLE_ENDIAN, mask));
        }
        v.intoMemorySegment(ALL, to, LITTLE_ENDIAN, mask);
      }
    }
  }

  /// Does what follows a product on its tile in scratch, and stores what is wanted of it.
  private static void follow(
      Gemm gemm, Chain chain, int row, int column, int rows, int columns, long sums) {
    long cells = sums + Tree.depth(gemm.blocks) * TILE;
    long first = gemm.first + (long) row * gemm.ldc + column;
    for (int slot = 0; slot < chain.slots(); slot++) {
      if (chain.isRead(slot)) {
        long bytes = chain.itemBytes(slot);
        long from = chain.address(slot) + first * bytes;
        copy(
            from,
            gemm.ldc * bytes,
            cell(sums, cells, slot),
            COLUMNS * bytes,
            rows,
            columns * bytes);
      }
    }
    chain.tile(sums, cells, TILE, rows, COLUMNS, columns, first, gemm.ldc);
    for (int slot = 0; slot < chain.slots(); slot++) {
      if (chain.isWritten(slot)) {
        long bytes = chain.itemBytes(slot);
        long to = chain.address(slot) + first * bytes;
        copy(cell(sums, cells, slot), COLUMNS * bytes, to, gemm.ldc * bytes, rows, columns * bytes);
      }
    }
  }

  private static long cell(long sums, long cells, int slot) {
    return slot == 0 ? sums : cells + (slot - 1) * TILE;
  }

  /// Copies `rows` rows of `bytes` bytes, `step` bytes apart, to where they are `stride` apart.
  private static void copy(long from, long step, long to, long stride, int rows, long bytes) {
    long whole = bytes - bytes % VECTOR;
    for (int r = 0; r < rows; r++) {
      long source = at(from + r * step);
      long target = at(to + r * stride);
      for (long o = 0; o < whole; o += VECTOR) {
        FloatVector.fromMemorySegment(S, ALL, source + o, LITTLE_ENDIAN)
            .intoMemorySegment(ALL, target + o, LITTLE_ENDIAN);
      }
      if (whole < bytes) {
        Memory.copy(source + whole, target + whole, bytes - whole);
      }
    }
  }
}
