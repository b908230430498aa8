package dev.lockstep.device.cpu;

/// Sums of the columns of a contiguous matrix `[rows, width]`, rows cut into blocks.
final class ColumnSums {
  final int rows;
  final int width;
  final int outer;
  final int blocks;
  long x;
  long out;

  ColumnSums(int rows, int width, int outer, int blocks) {
    Cuts.check(rows, outer, blocks);
    this.rows = rows;
    this.width = width;
    this.outer = outer;
    this.blocks = blocks;
  }
}
