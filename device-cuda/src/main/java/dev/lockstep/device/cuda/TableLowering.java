package dev.lockstep.device.cuda;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import java.util.List;

/// Rows of a table taken and added to by ids.
final class TableLowering {
  private static final int THREADS = 256;
  private static final int WARPS = 8;

  /// Positions that a block of `rank_ids` ranks.
  private static final int RANKED = 32;

  private static final int MOST_BLOCKS = 65_535 * 16;

  private final Emission emit;
  private final List<Value> in;
  private final Value out;

  TableLowering(Emission emit, List<Value> in, Value out) {
    this.emit = emit;
    this.in = in;
    this.out = out;
  }

  void gather() {
    Value table = in.get(0);
    Value ids = in.get(1);
    long count = ids.type().shape().elements();
    Shape shape = table.type().shape();
    long rowBytes = Sizes.product(shape, 1, shape.rank()) * table.type().dtype().bytes();
    if (count == 0 || rowBytes == 0) {
      return;
    }
    emit.add(
        LaunchBuilder.of("embedding.cu", "gather_rows")
            .at(table)
            .at(ids)
            .at(out)
            .wide(count)
            .wide(rowBytes)
            .word(Sizes.of(shape.dim(0)))
            .at(Ref.FAULT)
            .grid((int) Math.min(Math.ceilDiv(count, WARPS), MOST_BLOCKS), THREADS));
  }

  void scatterAdd(long tableRows, Blocks order) {
    Value ids = in.get(0);
    Value updates = in.get(1);
    int count = Sizes.of(ids.type().shape().elements());
    int rows = Sizes.of(tableRows);
    int width = Sizes.last(out.type().shape());
    emit.fill(Emission.at(out), 4, 0, (long) rows * width);
    if (count == 0 || width == 0) {
      return;
    }
    Ref sorted = emit.scratch(4L * count);
    emit.add(
        LaunchBuilder.of("embedding.cu", "rank_ids")
            .at(ids)
            .at(sorted)
            .word(count)
            .word(Sizes.outer(order))
            .word(order.count())
            .word(rows)
            .at(Ref.FAULT)
            .grid(Math.ceilDiv(count, RANKED), THREADS));
    emit.add(
        LaunchBuilder.of("embedding.cu", "scatter_rows_f32")
            .at(ids)
            .at(sorted)
            .at(updates)
            .at(out)
            .word(count)
            .word(rows)
            .word(width)
            .word(Sizes.outer(order))
            .word(order.count())
            .grid(count, Math.ceilDiv(width, THREADS), 1, THREADS, 0));
  }
}
