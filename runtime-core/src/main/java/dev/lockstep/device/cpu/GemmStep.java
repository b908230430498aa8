package dev.lockstep.device.cpu;

import dev.lockstep.graph.Blocks;
import dev.lockstep.tensor.Shape;
import org.jspecify.annotations.Nullable;

/// A matrix product, or one for each index of leading dimensions; bias and residual are added, and
/// what follows is done, on the way.
///
/// `B` is packed in groups of columns that stay in the last-level cache; the tiles of a group are
/// row panels by as many column ranges as make the tiles a multiple of the threads. A long sum may
/// be made in parts of `k` ([GemmKernels#parts]), each of which goes on from the result of the one
/// before.
final class GemmStep extends Step {
  /// Values by id; -1 is none. Where a chain follows, it says where results go, not `out`.
  ///
  /// @param narrowA whether `a` is bfloat16
  /// @param narrowB whether `b` is
  record Operands(
      int a, int b, int bias, int residual, int out, boolean narrowA, boolean narrowB) {}

  private final Gemm gemm;
  private final int batch;
  private final Operands values;
  private final Gemm[] parts;
  private final int panels;
  private final int rowPanels;
  private final int threads;
  private final long groupBytes;
  private final long sharedBytes;
  private final long scratchBytes;
  private final ThreadTeam.Task pack = this::packPanels;
  private Gemm part;
  private long panelBytes;
  private int first;
  private int groupEnd;
  private int ranges;

  private GemmStep(Gemm gemm, int batch, Operands values, GemmKernels kernels, int threads) {
    this.gemm = gemm;
    this.batch = batch;
    this.values = values;
    this.threads = threads;
    groupBytes = kernels.groupBytes();
    panels = kernels.columnPanels(gemm);
    rowPanels = kernels.rowPanels(gemm);
    parts = parts(gemm, values, kernels);
    part = gemm;
    long shared = 0;
    long scratch = 0;
    for (Gemm each : parts) {
      long bytes = panelBytes(kernels, each);
      shared = Math.max(shared, Math.min(groupPanels(bytes), panels) * bytes);
      scratch = Math.max(scratch, kernels.scratchBytes(each));
    }
    sharedBytes = shared;
    scratchBytes = scratch;
  }

  private static Gemm[] parts(Gemm gemm, Operands values, GemmKernels kernels) {
    boolean plain = gemm.chain == null && values.bias < 0 && values.residual < 0;
    boolean wide = !gemm.narrowA && !gemm.narrowB;
    int count = plain && wide && gemm.blocks == 1 ? kernels.parts(gemm) : 1;
    if (count == 1) {
      return new Gemm[] {gemm};
    }
    Gemm[] parts = new Gemm[count];
    for (int i = 0; i < count; i++) {
      parts[i] = gemm.part(Cuts.start(i, gemm.k, count), Cuts.start(i + 1, gemm.k, count));
    }
    return parts;
  }

  private long panelBytes(GemmKernels kernels, Gemm each) {
    return panels == 0 ? 0 : kernels.packedBytes(each) / panels;
  }

  private int groupPanels(long bytes) {
    return bytes == 0 ? Math.max(1, panels) : (int) Math.max(1, groupBytes / bytes);
  }

  /// Makes the step of `MatMul` or `Linear` on operands of these shapes.
  static GemmStep of(
      Shape a,
      Shape b,
      boolean transposeA,
      boolean transposeB,
      Blocks blocks,
      Operands values,
      @Nullable Chain chain,
      GemmKernels kernels,
      int threads) {
    boolean shared = b.rank() == 2;
    int batch = shared ? 1 : Extents.product(a, 0, a.rank() - 2);
    int leading = shared && a.rank() > 2 ? Extents.product(a, 0, a.rank() - 2) : 1;
    int m = Extents.of((long) leading * a.dim(transposeA ? -1 : -2));
    int k = Extents.of(a.dim(transposeA ? -2 : -1));
    int n = Extents.of(b.dim(transposeB ? -2 : -1));
    Gemm gemm = Gemm.of(m, n, k, transposeA, transposeB, Extents.outer(blocks), blocks.count());
    gemm.narrowA = values.narrowA;
    gemm.narrowB = values.narrowB;
    gemm.chain = chain;
    return new GemmStep(gemm, batch, values, kernels, threads);
  }

  @Override
  long sharedBytes() {
    return sharedBytes;
  }

  @Override
  long workerBytes() {
    return scratchBytes;
  }

  @Override
  void execute() {
    gemm.bias = optional(values.bias());
    gemm.residual = optional(values.residual());
    gemm.a = at(values.a());
    gemm.b = at(values.b());
    gemm.c = at(values.out());
    gemm.first = 0;
    if (gemm.chain != null) {
      gemm.chain.at(frame());
    }
    for (int i = 0; i < batch; i++) {
      for (Gemm each : parts) {
        multiply(each);
      }
      gemm.a += (gemm.narrowA ? 2L : 4L) * gemm.m * gemm.k;
      gemm.b += (gemm.narrowB ? 2L : 4L) * gemm.k * gemm.n;
      gemm.c += 4L * gemm.m * gemm.n;
      gemm.first += (long) gemm.m * gemm.n;
      gemm.residual += gemm.residual == 0 ? 0 : 4L * gemm.m * gemm.n;
    }
  }

  private long optional(int value) {
    return value < 0 ? 0 : at(value);
  }

  private void multiply(Gemm each) {
    part = each;
    if (parts.length > 1) {
      part.takeAddresses(gemm);
    }
    panelBytes = panelBytes(kernels().gemm(), part);
    int groupPanels = groupPanels(panelBytes);
    for (first = 0; first < panels; first += groupPanels) {
      groupEnd = Math.min(panels, first + groupPanels);
      part.packed = frame().shared() - first * panelBytes;
      if (panelBytes > 0) {
        frame().team().run(pack, groupEnd - first);
      }
      boolean even = rowPanels % threads == 0 || rowPanels >= 8 * threads;
      ranges = even ? 1 : Math.min(threads, groupEnd - first);
      parallel(rowPanels * ranges);
    }
  }

  private void packPanels(int worker, int from, int to) {
    kernels().gemm().packB(part, first + from, first + to, frame().scratch(worker));
  }

  @Override
  public void run(int worker, int from, int to) {
    int group = groupEnd - first;
    for (int tile = from; tile < to; ) {
      int row = tile % rowPanels;
      int range = tile / rowPanels;
      int rows = Math.min(rowPanels - row, to - tile);
      int columnFrom = first + (int) ((long) range * group / ranges);
      int columnTo = first + (int) ((range + 1L) * group / ranges);
      kernels()
          .gemm()
          .compute(part, row, row + rows, columnFrom, columnTo, frame().scratch(worker));
      tile += rows;
    }
  }

  @Override
  String label() {
    return "Gemm m=%d n=%d k=%d%s%s%s%s blocks=%dx%d%s%s%s%s"
            .formatted(
                gemm.m,
                gemm.n,
                gemm.k,
                gemm.transposeA ? " Aᵀ" : "",
                gemm.transposeB ? " Bᵀ" : "",
                gemm.narrowA ? " bf16 A" : "",
                gemm.narrowB ? " bf16 B" : "",
                gemm.outer,
                gemm.blocks,
                values.bias() < 0 ? "" : " +bias",
                values.residual() < 0 ? "" : " +residual",
                gemm.chain == null ? "" : " +" + gemm.chain.label(),
                batch == 1 ? "" : " batch=" + batch)
        + (parts.length == 1 ? "" : " parts=" + parts.length);
  }
}
