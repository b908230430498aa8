package dev.lockstep.train;

import dev.lockstep.device.Stream;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.model.ModelPrograms;
import java.lang.foreign.MemorySegment;
import java.util.LinkedHashMap;
import java.util.Map;

/// The tokens and targets of a lane on the device, and the host memory that they are read into.
final class DataInput {
  private final Stream stream;
  private final Tensor tokens;
  private final Tensor targets;
  private final boolean isInPlace;
  private final MemorySegment hostTokens;
  private final MemorySegment hostTargets;

  DataInput(RankCompute compute, int sequences, int context) {
    this.stream = compute.stream();
    Shape shape = Shape.of(sequences, context);
    long bytes = shape.elements() * DType.I32.bytes();
    Buffer buffer = compute.allocate("tokens and targets", 2 * bytes);
    tokens = new Tensor(buffer, 0, DType.I32, shape);
    targets = new Tensor(buffer, bytes, DType.I32, shape);
    isInPlace = compute.device().info().hostAddressable();
    hostTokens = isInPlace ? tokens.segment() : staging(compute, bytes);
    hostTargets = isInPlace ? targets.segment() : staging(compute, bytes);
  }

  private static MemorySegment staging(RankCompute compute, long bytes) {
    return compute.arena().allocate(bytes, DType.I32.bytes());
  }

  /// Host memory for the tokens, sent by [#send]. Nothing that was queued reads it any more.
  MemorySegment tokens() {
    stream.synchronize();
    return hostTokens;
  }

  /// Host memory for the targets, sent by [#send]. Nothing that was queued reads it any more.
  MemorySegment targets() {
    stream.synchronize();
    return hostTargets;
  }

  /// Copies both to the device, if the host does not write them in place.
  void send() {
    if (!isInPlace) {
      stream.copyIn(tokens, hostTokens);
      stream.copyIn(targets, hostTargets);
    }
  }

  /// Adds the tensors to the inputs of a program.
  Map<String, Tensor> with(Map<String, Tensor> bindings) {
    Map<String, Tensor> all = new LinkedHashMap<>(bindings);
    all.put(ModelPrograms.TOKENS, tokens);
    all.put(ModelPrograms.TARGETS, targets);
    return all;
  }
}
