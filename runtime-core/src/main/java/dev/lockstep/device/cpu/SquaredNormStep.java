package dev.lockstep.device.cpu;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;

/// The sum of the squares of several values: chunks of their blocks are leaves of one tree.
final class SquaredNormStep extends Step {
  /// Block `block` of an operand: rows of `length` elements, `stride` apart, `runs` of them for
  /// each outer slice, as it lies in the operand.
  private record Part(
      int value, long pre, long outer, long outerStride, long preStride, long start, long run) {
    long elements() {
      return pre * outer * run;
    }

    /// Where run `index` begins.
    long offset(long index) {
      return start + index / outer * preStride + index % outer * outerStride;
    }
  }

  private final Part[] parts;
  private final long[] chunkStart;
  private final int[] chunkPart;
  private final int out;

  SquaredNormStep(int[] values, List<Shape> shapes, List<Split> splits, int out) {
    this.out = out;
    List<Part> all = new ArrayList<>();
    for (int i = 0; i < values.length; i++) {
      for (int block = 0; block < splits.get(i).blocks().count(); block++) {
        all.add(part(values[i], shapes.get(i), splits.get(i), block));
      }
    }
    parts = all.toArray(Part[]::new);
    List<long[]> chunks = new ArrayList<>();
    for (int i = 0; i < parts.length; i++) {
      for (long start = 0; start < parts[i].elements(); start += SquaredNorm.CHUNK) {
        chunks.add(new long[] {i, start});
      }
    }
    chunkPart = chunks.stream().mapToInt(chunk -> (int) chunk[0]).toArray();
    chunkStart = chunks.stream().mapToLong(chunk -> chunk[1]).toArray();
  }

  private static Part part(int value, Shape shape, Split split, int block) {
    if (split.equals(Split.NONE)) {
      return new Part(value, 1, 1, 0, 0, 0, shape.elements());
    }
    Blocks blocks = split.blocks();
    long extent = shape.dim(split.dim());
    long post = 1;
    for (int dim = split.dim() + 1; dim < shape.rank(); dim++) {
      post *= shape.dim(dim);
    }
    long pre = Extents.product(shape, 0, split.dim());
    long lo = blocks.start(block, extent);
    long hi = blocks.start(block + 1, extent);
    long outerStride = extent / blocks.outer() * post;
    return new Part(
        value, pre, blocks.outer(), outerStride, extent * post, lo * post, (hi - lo) * post);
  }

  private long leafBytes() {
    return (4L * chunkPart.length + 63) & -64L;
  }

  @Override
  long sharedBytes() {
    return leafBytes() + 4L * Tree.depth(chunkPart.length);
  }

  @Override
  long workerBytes() {
    return RowKernels.PARTIAL_BYTES + 4L * SquaredNorm.CHUNK;
  }

  @Override
  void execute() {
    parallel(chunkPart.length);
    long leaves = frame().shared();
    long stack = leaves + leafBytes();
    for (int i = 0; i < chunkPart.length; i++) {
      Tree.push(stack, i, Memory.f32(leaves + i * 4L));
    }
    Memory.f32(at(out), chunkPart.length == 0 ? 0f : Tree.join(stack, chunkPart.length));
  }

  @Override
  public void run(int worker, int from, int to) {
    for (int i = from; i < to; i++) {
      Part part = parts[chunkPart[i]];
      int n = (int) Math.min(SquaredNorm.CHUNK, part.elements() - chunkStart[i]);
      long scratch = frame().scratch(worker);
      long chunk = chunk(part, chunkStart[i], n, scratch + RowKernels.PARTIAL_BYTES);
      Memory.f32(frame().shared() + i * 4L, kernels().rows().sumSquares(chunk, n, scratch));
    }
  }

  /// Where elements `[start, start + n)` of a block lie side by side: in place, or gathered.
  private long chunk(Part part, long start, int n, long scratch) {
    long base = at(part.value);
    long first = start / part.run;
    long skipped = start % part.run;
    if (skipped + n <= part.run) {
      return base + (part.offset(first) + skipped) * 4;
    }
    long done = 0;
    for (long index = first; done < n; index++) {
      long length = Math.min(part.run - skipped, n - done);
      Memory.copy(base + (part.offset(index) + skipped) * 4, scratch + done * 4, length * 4);
      done += length;
      skipped = 0;
    }
    return scratch;
  }

  @Override
  String label() {
    return "SquaredNorm leaves=" + chunkPart.length;
  }
}
