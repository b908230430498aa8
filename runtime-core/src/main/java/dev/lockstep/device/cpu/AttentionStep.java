package dev.lockstep.device.cpu;

/// Causal attention and its gradient; a tile is a head of a sequence.
abstract class AttentionStep extends Step {
  final Attention call;

  AttentionStep(Attention call) {
    this.call = call;
  }

  /// The forward pass.
  static final class Forward extends AttentionStep {
    private final int qkv;
    private final int out;
    private final int logSumExp;
    private final long scratchBytes;

    Forward(Attention call, int qkv, int out, int logSumExp, AttentionKernels kernels) {
      super(call);
      this.qkv = qkv;
      this.out = out;
      this.logSumExp = logSumExp;
      scratchBytes = kernels.forwardScratchBytes(call);
    }

    @Override
    long workerBytes() {
      return scratchBytes;
    }

    @Override
    void execute() {
      call.qkv = at(qkv);
      call.out = at(out);
      call.logSumExp = at(logSumExp);
      parallel(call.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      for (int i = from; i < to; i++) {
        kernels().attention().forward(call, i, frame().scratch(worker));
      }
    }

    @Override
    String label() {
      return "Attention heads=%d tokens=%d size=%d".formatted(call.count(), call.tokens, call.size);
    }
  }

  /// The gradient.
  static final class Backward extends AttentionStep {
    private final int dout;
    private final int qkv;
    private final int out;
    private final int logSumExp;
    private final int dqkv;
    private final long scratchBytes;

    /// Values by id; `values` are dout, qkv, out, logSumExp and dqkv.
    Backward(Attention call, int[] values, AttentionKernels kernels) {
      super(call);
      dout = values[0];
      qkv = values[1];
      out = values[2];
      logSumExp = values[3];
      dqkv = values[4];
      scratchBytes = kernels.backwardScratchBytes(call);
    }

    @Override
    long workerBytes() {
      return scratchBytes;
    }

    @Override
    void execute() {
      call.dout = at(dout);
      call.qkv = at(qkv);
      call.out = at(out);
      call.logSumExp = at(logSumExp);
      call.dqkv = at(dqkv);
      parallel(call.count());
    }

    @Override
    public void run(int worker, int from, int to) {
      for (int i = from; i < to; i++) {
        kernels().attention().backward(call, i, frame().scratch(worker));
      }
    }

    @Override
    String label() {
      return "AttentionGrad heads=%d tokens=%d size=%d blocks=%d"
          .formatted(call.count(), call.tokens, call.size, call.queryBlocks);
    }
  }
}
