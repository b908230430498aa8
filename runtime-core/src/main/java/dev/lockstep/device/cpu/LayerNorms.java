package dev.lockstep.device.cpu;

/// A norm over rows of `width`: addresses and shape. The variance is the mean of squared
/// deviations; `y = (x - mean) · rstd · gain + bias` with a fused multiply-add for the last two. A
/// root-mean-square norm has neither mean nor bias: `y = (x · rstd) · gain`, `rstd` of the mean
/// square.
final class LayerNorms {
  final int rows;
  final int width;
  final float epsilon;
  final int outer;
  final int blocks;
  long x;
  long gain;
  long bias;
  long y;
  long mean;
  long rstd;
  long dy;
  long dx;
  long dgain;
  long dbias;

  LayerNorms(int rows, int width, float epsilon, int outer, int blocks) {
    Cuts.check(rows, outer, blocks);
    this.rows = rows;
    this.width = width;
    this.epsilon = epsilon;
    this.outer = outer;
    this.blocks = blocks;
  }
}
