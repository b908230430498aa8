package dev.lockstep.device.cpu;

/// Rotary position embedding; a tile is some positions of all sequences.
final class RotationStep extends Step {
  private static final int TILE_TOKENS = 8;

  private final Rotation call;
  private final int x;
  private final int out;

  RotationStep(Rotation call, int x, int out) {
    this.call = call;
    this.x = x;
    this.out = out;
  }

  @Override
  long workerBytes() {
    return call.scratchBytes();
  }

  @Override
  void execute() {
    call.x = at(x);
    call.out = at(out);
    parallel(Math.ceilDiv(call.tokens, TILE_TOKENS));
  }

  @Override
  public void run(int worker, int from, int to) {
    int end = Math.min(call.tokens, to * TILE_TOKENS);
    call.rotate(kernels().elements(), from * TILE_TOKENS, end, frame().scratch(worker));
  }

  @Override
  String label() {
    return "Rotary tokens=%d heads=%d size=%d"
        .formatted(call.tokens, call.batch * call.heads, call.size);
  }
}
