package dev.lockstep.device.cpu;

/// Layer norm, root-mean-square norm and their gradients.
abstract class NormStep extends Step {
  private static final int TILE_ROWS = 16;

  final LayerNorms call;
  final Tiles rows;

  NormStep(LayerNorms call) {
    this.call = call;
    this.rows = new Tiles(call.rows, TILE_ROWS);
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
      parallel(rows.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      kernels().norms().layerNorm(call, rows.start(from), rows.start(to), frame().scratch(worker));
    }

    @Override
    String label() {
      return "LayerNorm rows=" + call.rows + " width=" + call.width;
    }
  }

  /// A gradient: sums down columns first, since `dx` may take the place of `dy`.
  abstract static class Gradient extends NormStep {
    private final ThreadTeam.Task columns = this::columns;
    private final Tiles columnTiles;

    Gradient(LayerNorms call) {
      super(call);
      columnTiles = ReduceStep.columns(call.width);
    }

    @Override
    final long workerBytes() {
      return RowKernels.columnScratchBytes(call.blocks);
    }

    /// Runs once the call knows where its operands lie.
    final void runColumnsAndRows() {
      frame().team().run(columns, columnTiles.count());
      parallel(rows.count());
    }

    private void columns(int worker, int from, int to) {
      long scratch = frame().scratch(worker);
      paramGrad(columnTiles.start(from), columnTiles.start(to), scratch);
    }

    /// Sums columns `[from, to)` of what gain, and bias if there is one, get.
    abstract void paramGrad(int from, int to, long scratch);

    final String label(String name) {
      return "%s rows=%d width=%d blocks=%dx%d"
          .formatted(name, call.rows, call.width, call.outer, call.blocks);
    }
  }

  /// Values by id of `(dy, x, gain, mean, rstd) → (dx, dgain, dbias)`.
  record BackwardValues(
      int dy, int x, int gain, int mean, int rstd, int dx, int dgain, int dbias) {}

  /// The layer norm's gradient.
  static final class Backward extends Gradient {
    private final BackwardValues values;

    Backward(LayerNorms call, BackwardValues values) {
      super(call);
      this.values = values;
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
      runColumnsAndRows();
    }

    @Override
    void paramGrad(int from, int to, long scratch) {
      kernels().norms().layerNormParamGrad(call, from, to, scratch);
    }

    @Override
    public void run(int worker, int from, int to) {
      kernels()
          .norms()
          .layerNormGrad(call, rows.start(from), rows.start(to), frame().scratch(worker));
    }

    @Override
    String label() {
      return label("LayerNormGrad");
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
      parallel(rows.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      kernels().norms().rmsNorm(call, rows.start(from), rows.start(to), frame().scratch(worker));
    }

    @Override
    String label() {
      return "RmsNorm rows=" + call.rows + " width=" + call.width;
    }
  }

  /// Values by id of `(dy, x, gain, rstd) → (dx, dgain)`.
  record RmsBackwardValues(int dy, int x, int gain, int rstd, int dx, int dgain) {}

  /// The gradient of the root-mean-square norm.
  static final class RmsBackward extends Gradient {
    private final RmsBackwardValues values;

    RmsBackward(LayerNorms call, RmsBackwardValues values) {
      super(call);
      this.values = values;
    }

    @Override
    void execute() {
      call.dy = at(values.dy());
      call.x = at(values.x());
      call.gain = at(values.gain());
      call.rstd = at(values.rstd());
      call.dx = at(values.dx());
      call.dgain = at(values.dgain());
      runColumnsAndRows();
    }

    @Override
    void paramGrad(int from, int to, long scratch) {
      kernels().norms().rmsNormGainGrad(call, from, to, scratch);
    }

    @Override
    public void run(int worker, int from, int to) {
      kernels()
          .norms()
          .rmsNormGrad(call, rows.start(from), rows.start(to), frame().scratch(worker));
    }

    @Override
    String label() {
      return label("RmsNormGrad");
    }
  }
}
