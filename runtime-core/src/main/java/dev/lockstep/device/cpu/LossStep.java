package dev.lockstep.device.cpu;

/// Cross-entropy and its gradient.
abstract class LossStep extends Step {
  private static final int TILE_ROWS = 16;

  final CrossEntropies call;
  final Tiles rows;

  LossStep(CrossEntropies call) {
    this.call = call;
    this.rows = new Tiles(call.rows, TILE_ROWS);
  }

  /// The forward pass.
  static final class Forward extends LossStep {
    private final int logits;
    private final int targets;
    private final int lossSum;
    private final int count;
    private final int logSumExp;

    Forward(CrossEntropies call, int logits, int targets, int lossSum, int count, int logSumExp) {
      super(call);
      this.logits = logits;
      this.targets = targets;
      this.lossSum = lossSum;
      this.count = count;
      this.logSumExp = logSumExp;
    }

    @Override
    long sharedBytes() {
      return 4L * call.rows;
    }

    @Override
    long workerBytes() {
      return call.scratchBytes();
    }

    @Override
    void execute() {
      call.logits = at(logits);
      call.targets = at(targets);
      call.lossSum = at(lossSum);
      call.count = at(count);
      call.logSumExp = at(logSumExp);
      call.rowLoss = frame().shared();
      parallel(rows.count());
      call.finish(kernels().rows(), frame().scratch(0));
    }

    @Override
    public void run(int worker, int from, int to) {
      call.rows(kernels().rows(), rows.start(from), rows.start(to), frame().scratch(worker));
    }

    @Override
    String label() {
      return "CrossEntropy rows=%d vocabulary=%d blocks=%d"
          .formatted(call.rows, call.vocabulary, call.vocabularyBlocks);
    }
  }

  /// The gradient.
  static final class Backward extends LossStep {
    private final int dloss;
    private final int logits;
    private final int targets;
    private final int logSumExp;
    private final int dlogits;
    private float scale;

    Backward(CrossEntropies call, int dloss, int logits, int targets, int logSumExp, int dlogits) {
      super(call);
      this.dloss = dloss;
      this.logits = logits;
      this.targets = targets;
      this.logSumExp = logSumExp;
      this.dlogits = dlogits;
    }

    @Override
    long workerBytes() {
      return RowKernels.PARTIAL_BYTES;
    }

    @Override
    void execute() {
      call.logits = at(logits);
      call.targets = at(targets);
      call.logSumExp = at(logSumExp);
      call.dlogits = at(dlogits);
      scale = Memory.f32(at(dloss));
      parallel(rows.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      kernels()
          .rows()
          .crossEntropyGrad(call, scale, rows.start(from), rows.start(to), frame().scratch(worker));
    }

    @Override
    String label() {
      return "CrossEntropyGrad rows=%d vocabulary=%d".formatted(call.rows, call.vocabulary);
    }
  }
}
