package dev.lockstep.device.cpu;

/// Random numbers by counter, or dropout by them.
final class RandomStep extends Step {
  private final Counters call;
  private final Values values;

  /// Values by id; `x` is -1 where the numbers themselves are wanted.
  record Values(int step, int lane, int x, int out) {}

  RandomStep(Counters call, Values values) {
    this.call = call;
    this.values = values;
  }

  @Override
  long workerBytes() {
    return 4L * ElementStep.TILE;
  }

  @Override
  void execute() {
    call.at(Memory.i32(at(values.step)), Memory.i32(at(values.lane)));
    call.x = values.x < 0 ? 0 : at(values.x);
    call.out = at(values.out);
    parallel(ElementStep.tiles(call.elements()));
  }

  @Override
  public void run(int worker, int from, int to) {
    for (int tile = from; tile < to; tile++) {
      long start = ElementStep.start(tile, call.elements());
      long end = ElementStep.start(tile + 1, call.elements());
      call.make(kernels().random(), start, end, frame().scratch(worker));
    }
  }

  @Override
  String label() {
    return values.x < 0 ? "Uniform" : "Dropout";
  }
}
