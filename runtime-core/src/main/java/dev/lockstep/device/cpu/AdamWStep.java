package dev.lockstep.device.cpu;

/// One parameter's update by AdamW.
final class AdamWStep extends Step {
  private final AdamWUpdate update;
  private final Values values;
  private final long elements;

  /// Values by id of `(param, grad, m, v, learningRate, step, gradScale) → (param, m, v)`.
  record Values(
      int param,
      int grad,
      int m,
      int v,
      int learningRate,
      int step,
      int gradScale,
      int paramOut,
      int mOut,
      int vOut) {}

  AdamWStep(AdamWUpdate update, Values values, long elements) {
    this.update = update;
    this.values = values;
    this.elements = elements;
  }

  @Override
  void execute() {
    update.param = at(values.param());
    update.grad = at(values.grad());
    update.m = at(values.m());
    update.v = at(values.v());
    update.paramOut = at(values.paramOut());
    update.mOut = at(values.mOut());
    update.vOut = at(values.vOut());
    update.at(
        Memory.f32(at(values.learningRate())),
        Memory.f32(at(values.step())),
        Memory.f32(at(values.gradScale())));
    parallel(ElementStep.tiles(elements));
  }

  @Override
  public void run(int worker, int from, int to) {
    for (int tile = from; tile < to; tile++) {
      long start = ElementStep.start(tile, elements);
      int n = (int) (ElementStep.start(tile + 1, elements) - start);
      kernels().elements().adamW(update, start, n);
    }
  }

  @Override
  String label() {
    return "AdamW elements=" + elements;
  }
}
