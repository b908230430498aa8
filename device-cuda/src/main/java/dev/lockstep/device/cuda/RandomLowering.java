package dev.lockstep.device.cuda;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import java.util.List;

/// Random numbers by counter, and dropout.
final class RandomLowering {
  private static final int MOST_DIMENSIONS = 8;

  private final Emission emit;

  RandomLowering(Emission emit) {
    this.emit = emit;
  }

  /// Whether kernels take boxes of this shape.
  static boolean fits(Shape shape) {
    return shape.rank() <= MOST_DIMENSIONS;
  }

  void uniform(Primitive.Uniform op, List<Value> in, Value out) {
    long n = out.type().shape().elements();
    emit.elements(
        LaunchBuilder.of("random.cu", "uniform_f32")
            .at(in.get(0))
            .at(in.get(1))
            .at(out)
            .struct(box(op.part()))
            .wide(op.seed())
            .word(op.tensor())
            .wide(n),
        n);
  }

  void dropout(Composite.Dropout op, List<Value> in, Value out) {
    long n = out.type().shape().elements();
    emit.elements(
        LaunchBuilder.of("random.cu", "dropout_f32")
            .at(in.get(0))
            .at(in.get(1))
            .at(in.get(2))
            .at(out)
            .struct(box(op.random().part()))
            .wide(op.random().seed())
            .word(op.random().tensor())
            .real(op.rate())
            .real(op.scale())
            .wide(n),
        n);
  }

  private static StructBuilder box(Primitive.Part part) {
    long[] starts = part.starts().stream().mapToLong(Long::longValue).toArray();
    return new StructBuilder()
        .words(part.shape().rank(), 0)
        .array(MOST_DIMENSIONS, part.whole().dims())
        .array(MOST_DIMENSIONS, starts)
        .array(MOST_DIMENSIONS, part.shape().dims());
  }
}
