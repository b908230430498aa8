package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.CudaDriver.Geometry;
import dev.lockstep.graph.Value;

/// The launch of a [FusedUnit]'s kernel: operands, results, constants, the extents of operands that
/// repeat, and how many elements there are.
final class FusedLowering {
  private FusedLowering() {}

  /// Appends the launch, if there are elements.
  static void lower(FusedUnit unit, Emission emit) {
    if (unit.elements() == 0) {
      return;
    }
    FusedSource source = FusedSource.of(unit);
    LaunchBuilder launch = new LaunchBuilder(source.source(), source.kernel());
    unit.reads().forEach(launch::at);
    unit.writes().forEach(launch::at);
    source.constants().forEach(launch::word);
    for (Value read : unit.reads()) {
      if (FusedSource.Kind.of(unit, read) == FusedSource.Kind.ROW) {
        launch.wide(read.type().shape().elements());
      }
    }
    launch.wide(unit.elements());
    long blocks = Math.ceilDiv(unit.elements(), (long) source.tile());
    int grid = (int) Math.min(blocks, Integer.MAX_VALUE);
    emit.add(launch.grid(new Geometry(grid, 1, 1, FusedSource.THREADS, 1, 1, 0)));
  }
}
