package dev.lockstep.device.cpu;

/// Rotary position embedding; a tile is some positions of all sequences.
final class RotationStep extends Step {
  private static final int TILE_TOKENS = 8;

  private final Rotation call;
  private final Tiles tokens;
  private final int x;
  private final int out;

  RotationStep(Rotation call, int x, int out) {
    this.call = call;
    this.tokens = new Tiles(call.tokens, TILE_TOKENS);
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
    parallel(tokens.count());
  }

  @Override
  public void run(int worker, int from, int to) {
    long scratch = frame().scratch(worker);
    call.rotate(kernels().elements(), tokens.start(from), tokens.start(to), scratch);
  }

  @Override
  String label() {
    return "Rotary tokens=%d heads=%d size=%d"
        .formatted(call.tokens, call.batch * call.heads, call.size);
  }
}
