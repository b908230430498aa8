package dev.lockstep.device.neuron.hlo;

import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;

/// An instruction of a computation, known by its result.
///
/// @param id unique in the module
/// @param type element type and shape of the result
record Hlo(long id, ValueType type) {
  Shape shape() {
    return type.shape();
  }

  DType dtype() {
    return type.dtype();
  }
}
