package dev.lockstep.device.cpu;

/// Element-wise ops on contiguous values in one pass; see [Chain].
final class ChainStep extends Step {
  private final Chain chain;
  private final long elements;

  ChainStep(Chain chain, long elements) {
    this.chain = chain;
    this.elements = elements;
  }

  @Override
  long workerBytes() {
    return chain.scratchBytes();
  }

  @Override
  void execute() {
    chain.at(frame());
    parallel(ElementStep.tiles(elements));
  }

  @Override
  public void run(int worker, int from, int to) {
    long end = ElementStep.start(to, elements);
    long scratch = frame().scratch(worker);
    for (long at = ElementStep.start(from, elements); at < end; at += Chain.PIECE) {
      chain.piece(at, (int) Math.min(Chain.PIECE, end - at), scratch);
    }
  }

  @Override
  String label() {
    return "Element " + chain.label();
  }
}
