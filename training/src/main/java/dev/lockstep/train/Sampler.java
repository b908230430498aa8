package dev.lockstep.train;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Philox;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.ModelShape;
import java.io.ByteArrayOutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.function.BooleanSupplier;

/// Writes text, a byte at a time: the whole context is computed for each, positions past the text
/// hold zeros, which causal attention does not see.
final class Sampler {
  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  // Text is bytes: what a larger vocabulary has beyond them is not drawn.
  private static final int BYTES = 256;
  private static final long STREAM = Philox.stream("sample");

  private final Stream stream;
  private final ModelShape shape;
  private final Tensor tokens;
  private final Tensor logits;
  private final BoundProgram bound;

  /// Compiles the program.
  ///
  /// @param parameters the model's parameters; borrowed
  Sampler(RankCompute compute, ModelShape shape, ModelPrograms programs, ModelState parameters) {
    this.stream = compute.stream();
    this.shape = shape;
    ModelPrograms.Traced traced = programs.logits();
    Shape logitsShape = Shape.of(1, shape.context(), shape.vocabulary());
    // Logits first: they keep both tensors on borders of their elements.
    Buffer buffer =
        compute.allocate("sample", (logitsShape.elements() + shape.context()) * DType.F32.bytes());
    logits = new Tensor(buffer, 0, DType.F32, logitsShape);
    tokens = new Tensor(buffer, logits.bytes(), DType.I32, Shape.of(1, shape.context()));
    Program program = compute.scope().own(compute.device().compile(traced.graph()), Program::close);
    Map<String, Tensor> bindings = parameters.bindings(traced.uses());
    bindings.put(ModelPrograms.TOKENS, tokens);
    bindings.put(ModelPrograms.LOGITS, logits);
    bound = program.bind(bindings);
  }

  /// Returns the prompt and what follows it, as text; bytes that are no UTF-8 become `�`.
  ///
  /// @param stop ends the text early
  String sample(SamplingOptions options, BooleanSupplier stop) {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    text.writeBytes(options.prompt().getBytes(StandardCharsets.UTF_8));
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment ids = arena.allocate(tokens.bytes(), DType.I32.bytes());
      MemorySegment scores = arena.allocate(logits.bytes(), DType.F32.bytes());
      for (int i = 0; i < options.tokens() && !stop.getAsBoolean(); i++) {
        int last = fill(ids, text.toByteArray());
        stream.copyIn(tokens, ids);
        stream.run(bound);
        stream.copyOut(scores, logits);
        float random = Philox.uniform(options.seed(), STREAM, i);
        text.write(draw(scores, last, options.temperature(), random));
      }
    }
    return text.toString(StandardCharsets.UTF_8);
  }

  /// Writes the last tokens of the text from position 0 on; returns the position of the last one.
  private int fill(MemorySegment ids, byte[] text) {
    int count = Math.min(text.length, shape.context());
    for (int i = 0; i < count; i++) {
      ids.setAtIndex(I32, i, text[text.length - count + i] & 0xFF);
    }
    return count - 1;
  }

  /// Draws from the softmax of the logits at a position, in binary64 and ascending order.
  private int draw(MemorySegment scores, int position, double temperature, float random) {
    long row = (long) position * shape.vocabulary();
    double[] weights = new double[Math.min(shape.vocabulary(), BYTES)];
    double greatest = Double.NEGATIVE_INFINITY;
    for (int i = 0; i < weights.length; i++) {
      weights[i] = scores.getAtIndex(F32, row + i) / temperature;
      greatest = Math.max(greatest, weights[i]);
    }
    double sum = 0;
    for (int i = 0; i < weights.length; i++) {
      weights[i] = StrictMath.exp(weights[i] - greatest);
      sum += weights[i];
    }
    double left = random * sum;
    for (int i = 0; i < weights.length; i++) {
      left -= weights[i];
      if (left < 0) {
        return i;
      }
    }
    return weights.length - 1;
  }
}
