package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.CudaDriver.Geometry;
import java.util.List;

/// What a program puts into a stream, in order.
sealed interface Action {
  /// A kernel.
  ///
  /// @param source its file and how it is compiled
  /// @param kernel its name
  /// @param geometry how it is launched
  /// @param arguments its parameters, in order
  record Launch(Kernels.Source source, String kernel, Geometry geometry, List<Argument> arguments)
      implements Action {
    public Launch {
      arguments = List.copyOf(arguments);
    }
  }

  /// A copy within the device's memory.
  ///
  /// @param from first byte
  /// @param to first byte
  /// @param bytes how many
  record Copy(Ref from, Ref to, long bytes) implements Action {}

  /// A product by cuBLASLt.
  ///
  /// @param product what is multiplied
  /// @param a the left operand, row-major
  /// @param b the right operand, row-major
  /// @param out the result, row-major
  /// @param bias what is added to each row of the result, float32, if the product says so
  /// @param scales the numbers by which the result is multiplied, as many as the product says
  /// @param workspace what cuBLASLt works in
  record Multiply(
      LtProduct product, Ref a, Ref b, Ref out, Ref bias, List<Ref> scales, Workspace workspace)
      implements Action {
    public Multiply {
      scales = List.copyOf(scales);
    }
  }

  /// Working memory.
  ///
  /// @param at where it begins
  /// @param bytes how much it is
  record Workspace(Ref at, long bytes) {}

  /// Returns what all actions of its kind are called.
  default String kind() {
    return switch (this) {
      case Launch launch -> launch.kernel;
      case Copy _ -> "copy";
      case Multiply multiply -> "cublaslt " + multiply.product.types();
    };
  }

  /// Returns a few words for the plan that is printed.
  default String label() {
    return switch (this) {
      case Launch launch -> launch.kernel;
      case Copy copy -> "copy of " + copy.bytes + " bytes";
      case Multiply multiply -> multiply.product.toString();
    };
  }
}
