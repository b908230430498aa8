package dev.lockstep.device.cpu;

/// The gradient of SwiGLU: two results of three operands.
final class GateStep extends Step {
  private final Values values;
  private final long elements;

  /// Values by id.
  record Values(int dy, int gate, int up, int dgate, int dup) {}

  GateStep(Values values, long elements) {
    this.values = values;
    this.elements = elements;
  }

  @Override
  void execute() {
    parallel(ElementStep.tiles(elements));
  }

  @Override
  public void run(int worker, int from, int to) {
    for (int tile = from; tile < to; tile++) {
      long start = ElementStep.start(tile, elements);
      int n = (int) (ElementStep.start(tile + 1, elements) - start);
      kernels()
          .elements()
          .swiGluGrad(
              at(values.dy) + start * 4,
              at(values.gate) + start * 4,
              at(values.up) + start * 4,
              at(values.dgate) + start * 4,
              at(values.dup) + start * 4,
              n);
    }
  }

  @Override
  String label() {
    return "SwiGluGrad";
  }
}
