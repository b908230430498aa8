package dev.lockstep.train.nn;

import dev.lockstep.graph.Composite.Split;
import dev.lockstep.tensor.Philox;
import dev.lockstep.tensor.Shape;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// A float32 tensor that training changes.
///
/// @param name name in a checkpoint
/// @param shape extents
/// @param initializer how it starts
/// @param split where tensor parallelism may cut it
/// @param ofExperts whether the blocks of `split` are experts, which expert parallelism deals out
public record Parameter(
    String name, Shape shape, Initializer initializer, Split split, boolean ofExperts) {
  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT.withOrder(ByteOrder.LITTLE_ENDIAN);

  /// Makes a parameter that belongs to no expert.
  public Parameter(String name, Shape shape, Initializer initializer, Split split) {
    this(name, shape, initializer, split, false);
  }

  /// Returns whether weight decay applies: to matrices, not to gains and biases.
  public boolean decays() {
    return shape.rank() >= 2;
  }

  /// Fills memory with the initial elements: the same bits on every rank.
  public void initialize(long seed, MemorySegment elements) {
    initialize(seed, 0, elements);
  }

  /// Fills memory with some of the initial elements.
  ///
  /// @param first which element comes first
  /// @param elements memory for as many as are wanted
  public void initialize(long seed, long first, MemorySegment elements) {
    long count = elements.byteSize() / Float.BYTES;
    switch (initializer) {
      case Initializer.Constant(float value) -> {
        for (long i = 0; i < count; i++) {
          elements.setAtIndex(F32, i, value);
        }
      }
      case Initializer.Normal(float deviation) -> {
        long stream = Philox.stream(name);
        for (long i = 0; i < count; i++) {
          elements.setAtIndex(F32, i, deviation * Philox.normal(seed, stream, first + i));
        }
      }
    }
  }
}
