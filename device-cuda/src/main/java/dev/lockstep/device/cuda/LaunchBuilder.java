package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.CudaDriver.Geometry;
import dev.lockstep.graph.Value;
import java.util.ArrayList;
import java.util.List;

/// Builds the launch of a kernel: its parameters in order, then its geometry.
final class LaunchBuilder {
  private final Kernels.Source source;
  private final String kernel;
  private final List<Argument> arguments = new ArrayList<>();

  LaunchBuilder(Kernels.Source source, String kernel) {
    this.source = source;
    this.kernel = kernel;
  }

  /// Starts the launch of a kernel of a file that is compiled without definitions.
  static LaunchBuilder of(String file, String kernel) {
    return new LaunchBuilder(Kernels.Source.of(file), kernel);
  }

  LaunchBuilder at(Ref ref) {
    arguments.add(new Argument.At(ref));
    return this;
  }

  LaunchBuilder at(Value value) {
    return at(Ref.value(value.id()));
  }

  LaunchBuilder word(int value) {
    arguments.add(new Argument.Word(value));
    return this;
  }

  LaunchBuilder wide(long value) {
    arguments.add(new Argument.Wide(value));
    return this;
  }

  LaunchBuilder real(float value) {
    arguments.add(new Argument.Real(value));
    return this;
  }

  LaunchBuilder real64(double value) {
    arguments.add(new Argument.Real64(value));
    return this;
  }

  LaunchBuilder struct(StructBuilder struct) {
    arguments.add(struct.build());
    return this;
  }

  /// Finishes with a grid of one dimension.
  Action.Launch grid(int blocks, int threads) {
    return grid(blocks, 1, 1, threads, 0);
  }

  Action.Launch grid(int x, int y, int z, int threads, int sharedBytes) {
    return grid(new Geometry(x, y, z, threads, 1, 1, sharedBytes));
  }

  Action.Launch grid(Geometry geometry) {
    return new Action.Launch(source, kernel, geometry, arguments);
  }
}
