package dev.lockstep.device.cpu;

/// Causal attention and its gradient; a tile is a group of heads of a sequence.
abstract class AttentionStep extends Step {
  final Attention call;

  AttentionStep(Attention call) {
    this.call = call;
  }

  /// Where queries, keys and values come from, by id: three values, or one that holds all three.
  record Inputs(int q, int k, int v) {
    static Inputs packed(int qkv) {
      return new Inputs(qkv, -1, -1);
    }

    boolean isPacked() {
      return k < 0;
    }
  }

  final void setInputs(Inputs inputs) {
    if (inputs.isPacked()) {
      call.inputs(at(inputs.q));
    } else {
      call.q = at(inputs.q);
      call.k = at(inputs.k);
      call.v = at(inputs.v);
    }
  }

  final String shape() {
    return "heads=%d groups=%d queries=%d keys=%d size=%d"
        .formatted(call.batch * call.heads, call.count(), call.queries, call.keys, call.size);
  }

  /// The forward pass.
  static final class Forward extends AttentionStep {
    private final Inputs inputs;
    private final int out;
    private final int logSumExp;
    private final long scratchBytes;

    Forward(Attention call, Inputs inputs, int out, int logSumExp, AttentionKernels kernels) {
      super(call);
      this.inputs = inputs;
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
      setInputs(inputs);
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
      return "Attention " + shape();
    }
  }

  /// Values of the gradient by id.
  ///
  /// @param gradients where the gradients of the inputs go
  record BackwardValues(int dout, Inputs inputs, int out, int logSumExp, Inputs gradients) {}

  /// The gradient.
  static final class Backward extends AttentionStep {
    private final BackwardValues values;
    private final long scratchBytes;

    Backward(Attention call, BackwardValues values, AttentionKernels kernels) {
      super(call);
      this.values = values;
      scratchBytes = kernels.backwardScratchBytes(call);
    }

    @Override
    long workerBytes() {
      return scratchBytes;
    }

    @Override
    void execute() {
      setInputs(values.inputs);
      call.dout = at(values.dout);
      call.out = at(values.out);
      call.logSumExp = at(values.logSumExp);
      if (values.gradients.isPacked()) {
        call.gradients(at(values.gradients.q));
      } else {
        call.dq = at(values.gradients.q);
        call.dk = at(values.gradients.k);
        call.dv = at(values.gradients.v);
      }
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
      return "AttentionGrad " + shape() + " blocks=" + call.queryBlocks;
    }
  }
}
