package dev.lockstep.device.cpu;

import org.jspecify.annotations.Nullable;

/// One matrix product `C = epilogue(op(A) · op(B))` of float32 and what is known about it
/// beforehand.
///
/// `op(A)` is `[m, k]`, `op(B)` is `[k, n]`, `C` is `[m, n]`; leading dimensions count elements. An
/// element of the product is, within each of `blocks` blocks of `k`, one ascending chain of fused
/// multiply-adds that starts at +0; the blocks' sums are joined by [Tree]. `k` is seen as `[outer,
/// k / outer]` and a block gathers its range of every outer slice (see [Cuts]). The epilogue adds a
/// row of `bias`, then `residual`, then the old value of `C`: each an addition of its own. What
/// `chain` says is then done with each tile while it is in the core's own cache; without one the
/// tile is stored in `C`, with one where the chain's slots say, slot 0 being the product.
///
/// Shapes are final, addresses are set before each run. `b` is packed once by [GemmKernels#packB]
/// (parts in parallel), then [GemmKernels#compute] makes any range of row panels.
final class Gemm {
  final int m;
  final int n;
  final int k;
  final boolean transposeA;
  final boolean transposeB;
  final int lda;
  final int ldb;
  final int ldc;
  final int outer;
  final int blocks;

  /// Whether `A`, and `B`, is bfloat16; each number is widened before it is multiplied.
  boolean narrowA;

  boolean narrowB;

  /// Whether sums go on from what `C` holds, in one chain with what made it: a later [#part].
  boolean onward;

  /// Whether this is a [#part].
  boolean part;

  /// Where in `k` a part begins.
  private int from;

  /// Whether the old value of `C` is added.
  boolean accumulate;

  long a;
  long b;
  long c;

  /// A row of `n` values, or 0.
  long bias;

  /// A matrix `[m, n]` with leading dimension `ldc`, or 0.
  long residual;

  /// What follows the product, if anything.
  @Nullable Chain chain;

  /// Which element of the chain's values the first of `C` belongs to.
  long first;

  /// Room for the packed `B`, [GemmKernels#packedBytes].
  long packed;

  Gemm(
      int m,
      int n,
      int k,
      boolean transposeA,
      boolean transposeB,
      int lda,
      int ldb,
      int ldc,
      int outer,
      int blocks) {
    Cuts.check(k, outer, blocks);
    this.m = m;
    this.n = n;
    this.k = k;
    this.transposeA = transposeA;
    this.transposeB = transposeB;
    this.lda = lda;
    this.ldb = ldb;
    this.ldc = ldc;
    this.outer = outer;
    this.blocks = blocks;
  }

  /// A product of contiguous matrices.
  static Gemm of(
      int m, int n, int k, boolean transposeA, boolean transposeB, int outer, int blocks) {
    return new Gemm(
        m, n, k, transposeA, transposeB, transposeA ? m : k, transposeB ? k : n, n, outer, blocks);
  }

  /// Returns the part `[from, to)` of `k` of a plain product of one block. Parts that are made one
  /// after the other have the product's bits.
  Gemm part(int from, int to) {
    var part = new Gemm(m, n, to - from, transposeA, transposeB, lda, ldb, ldc, 1, 1);
    part.part = true;
    part.from = from;
    part.onward = from > 0;
    return part;
  }

  /// Takes the addresses of the product that this is a part of.
  void takeAddresses(Gemm whole) {
    a = whole.a + 4L * from * (transposeA ? lda : 1);
    b = whole.b + 4L * from * (transposeB ? 1 : ldb);
    c = whole.c;
  }

  boolean plain() {
    return !accumulate && bias == 0 && residual == 0 && chain == null;
  }
}
