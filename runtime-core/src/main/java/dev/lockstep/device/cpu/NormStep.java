package dev.lockstep.device.cpu;

/// Layer norm, root-mean-square norm and their gradients.
abstract class NormStep extends Step {
  private static final int TILE_ROWS = 16;

  final LayerNorms call;

  NormStep(LayerNorms call) {
    this.call = call;
  }

  final int rowTiles() {
    return Math.ceilDiv(call.rows, TILE_ROWS);
  }

  static int row(int tile) {
    return tile * TILE_ROWS;
  }

  final int rowEnd(int tile) {
    return Math.min(call.rows, tile * TILE_ROWS);
  }

  /// Values by id of `(x, gain, bias) → (y, mean, rstd)`.
  record ForwardValues(int x, int gain, int bias, int y, int mean, int rstd) {}

  /// The forward pass.
  static final class Forward extends NormStep {
    private final ForwardValues values;

    Forward(LayerNorms call, ForwardValues values) {
      super(call);
      this.values = values;
    }

    @Override
    long workerBytes() {
      return RowKernels.PARTIAL_BYTES;
    }

    @Override
    void execute() {
      call.x = at(values.x());
      call.gain = at(values.gain());
      call.bias = at(values.bias());
      call.y = at(values.y());
      call.mean = at(values.mean());
      call.rstd = at(values.rstd());
      parallel(rowTiles());
    }

    @Override
    public void run(int worker, int from, int to) {
      kernels().norms().layerNorm(call, row(from), rowEnd(to), frame().scratch(worker));
    }

    @Override
    String label() {
      return "LayerNorm rows=" + call.rows + " width=" + call.width;
    }
  }

  /// Values by id of `(dy, x, gain, mean, rstd) → (dx, dgain, dbias)`.
  record BackwardValues(
      int dy, int x, int gain, int mean, int rstd, int dx, int dgain, int dbias) {}

  /// The gradient: sums down columns first, since `dx` may take the place of `dy`.
  static final class Backward extends NormStep {
    private final BackwardValues values;
    private final ThreadTeam.Task columns = this::columns;

    Backward(LayerNorms call, BackwardValues values) {
      super(call);
      this.values = values;
    }

    @Override
    long workerBytes() {
      return RowKernels.columnScratchBytes(call.blocks);
    }

    @Override
    void execute() {
      call.dy = at(values.dy());
      call.x = at(values.x());
      call.gain = at(values.gain());
      call.mean = at(values.mean());
      call.rstd = at(values.rstd());
      call.dx = at(values.dx());
      call.dgain = at(values.dgain());
      call.dbias = at(values.dbias());
      frame().team().run(columns, ReduceStep.columnTiles(call.width));
      parallel(rowTiles());
    }

    private void columns(int worker, int from, int to) {
      int first = ReduceStep.column(from);
      int end = ReduceStep.columnEnd(to, call.width);
      kernels().norms().layerNormParamGrad(call, first, end, frame().scratch(worker));
    }

    @Override
    public void run(int worker, int from, int to) {
      kernels().norms().layerNormGrad(call, row(from), rowEnd(to), frame().scratch(worker));
    }

    @Override
    String label() {
      return "LayerNormGrad rows=%d width=%d blocks=%dx%d"
          .formatted(call.rows, call.width, call.outer, call.blocks);
    }
  }

  /// The root-mean-square norm, by id of `(x, gain) → (y, rstd)`.
  static final class RmsForward extends NormStep {
    private final int x;
    private final int gain;
    private final int y;
    private final int rstd;

    RmsForward(LayerNorms call, int x, int gain, int y, int rstd) {
      super(call);
      this.x = x;
      this.gain = gain;
      this.y = y;
      this.rstd = rstd;
    }

    @Override
    long workerBytes() {
      return RowKernels.PARTIAL_BYTES;
    }

    @Override
    void execute() {
      call.x = at(x);
      call.gain = at(gain);
      call.y = at(y);
      call.rstd = at(rstd);
      parallel(rowTiles());
    }

    @Override
    public void run(int worker, int from, int to) {
      kernels().norms().rmsNorm(call, row(from), rowEnd(to), frame().scratch(worker));
    }

    @Override
    String label() {
      return "RmsNorm rows=" + call.rows + " width=" + call.width;
    }
  }

  /// Values by id of `(dy, x, gain, rstd) → (dx, dgain)`.
  record RmsBackwardValues(int dy, int x, int gain, int rstd, int dx, int dgain) {}

  /// The gradient of the root-mean-square norm.
  static final class RmsBackward extends NormStep {
    private final RmsBackwardValues values;
    private final ThreadTeam.Task columns = this::columns;

    RmsBackward(LayerNorms call, RmsBackwardValues values) {
      super(call);
      this.values = values;
    }

    @Override
    long workerBytes() {
      return RowKernels.columnScratchBytes(call.blocks);
    }

    @Override
    void execute() {
      call.dy = at(values.dy());
      call.x = at(values.x());
      call.gain = at(values.gain());
      call.rstd = at(values.rstd());
      call.dx = at(values.dx());
      call.dgain = at(values.dgain());
      frame().team().run(columns, ReduceStep.columnTiles(call.width));
      parallel(rowTiles());
    }

    private void columns(int worker, int from, int to) {
      int first = ReduceStep.column(from);
      int end = ReduceStep.columnEnd(to, call.width);
      kernels().norms().rmsNormGainGrad(call, first, end, frame().scratch(worker));
    }

    @Override
    public void run(int worker, int from, int to) {
      kernels().norms().rmsNormGrad(call, row(from), rowEnd(to), frame().scratch(worker));
    }

    @Override
    String label() {
      return "RmsNormGrad rows=%d width=%d blocks=%dx%d"
          .formatted(call.rows, call.width, call.outer, call.blocks);
    }
  }
}
