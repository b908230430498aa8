package dev.lockstep.train;

import dev.lockstep.device.Stream;
import dev.lockstep.graph.Graph;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.data.Batches;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.nn.ModelTrace;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;
import java.util.Map;

/// The tokens and targets of a lane on the device, with its number and its step's, and the host
/// memory that they are read into.
final class DataInput {
  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final Stream stream;
  private final Tensor tokens;
  private final Tensor targets;
  private final boolean isInPlace;
  private final MemorySegment hostTokens;
  private final MemorySegment hostTargets;
  private final Tensor step;
  private final Tensor lane;
  private final MemorySegment hostStep;
  private final MemorySegment hostLane;
  private long currentStep = -1;
  private int firstLane = -1; // of the current step
  private long aheadStep = -1;

  DataInput(RankCompute compute, int sequences, int context) {
    this.stream = compute.stream();
    Shape shape = Shape.of(sequences, context);
    long bytes = shape.elements() * DType.I32.bytes();
    Buffer buffer = compute.allocate("tokens and targets", bytes(shape));
    tokens = new Tensor(buffer, 0, DType.I32, shape);
    targets = new Tensor(buffer, bytes, DType.I32, shape);
    step = new Tensor(buffer, 2 * bytes, DType.I32, Shape.scalar());
    lane = new Tensor(buffer, 2 * bytes + DType.I32.bytes(), DType.I32, Shape.scalar());
    isInPlace = compute.device().info().hostAddressable();
    hostTokens = isInPlace ? tokens.segment() : staging(compute, bytes);
    hostTargets = isInPlace ? targets.segment() : staging(compute, bytes);
    hostStep = isInPlace ? step.segment() : staging(compute, DType.I32.bytes());
    hostLane = isInPlace ? lane.segment() : staging(compute, DType.I32.bytes());
  }

  /// Returns the bytes that a lane's input takes on the device.
  ///
  /// @param shape `[sequences, positions]`
  static long bytes(Shape shape) {
    return 2 * (shape.elements() + 1) * DType.I32.bytes();
  }

  private static MemorySegment staging(RankCompute compute, long bytes) {
    return compute.arena().allocate(bytes, DType.I32.bytes());
  }

  /// Host memory for the tokens, sent by [#send]. Nothing that was queued reads it any more.
  MemorySegment tokens() {
    settle();
    return hostTokens;
  }

  /// Host memory for the targets, sent by [#send]. Nothing that was queued reads it any more.
  MemorySegment targets() {
    settle();
    return hostTargets;
  }

  /// Waits for what reads the host's memory in place. Where it is copied it may be written at once:
  /// the host goes on to the next lane while the device computes.
  private void settle() {
    if (isInPlace) {
      stream.synchronize();
    }
  }

  /// Brings a lane of a step to the device, if it is not on its way.
  void fill(Batches batches, long stepNumber, int laneNumber) {
    boolean isAhead = aheadStep == stepNumber && firstLane == laneNumber;
    aheadStep = -1;
    if (isAhead) {
      return;
    }
    if (currentStep != stepNumber) {
      currentStep = stepNumber;
      firstLane = laneNumber;
    }
    batches.fill(stepNumber, laneNumber, tokens(), targets());
    position(stepNumber, laneNumber);
    send();
  }

  /// Sends the lane with which the next step begins, the one with which this began, so that the
  /// device has it when whoever waits for this step goes on. Does nothing where the host writes in
  /// place.
  void ahead(Batches batches, long nextStep) {
    if (!isInPlace && firstLane >= 0) {
      fill(batches, nextStep, firstLane);
      aheadStep = nextStep;
    }
  }

  /// Says which lane of which step comes next; sent with the tokens.
  private void position(long stepNumber, int laneNumber) {
    settle();
    hostStep.set(I32, 0, Math.toIntExact(stepNumber));
    hostLane.set(I32, 0, laneNumber);
  }

  /// Copies all to the device, if the host does not write them in place.
  void send() {
    if (!isInPlace) {
      stream.copyIn(tokens, hostTokens);
      stream.copyIn(targets, hostTargets);
      stream.copyIn(step, hostStep);
      stream.copyIn(lane, hostLane);
    }
  }

  /// Adds the tensors that a program reads to its other inputs.
  Map<String, Tensor> with(Graph program, Map<String, Tensor> bindings) {
    Map<String, Tensor> ours =
        Map.of(
            ModelPrograms.TOKENS, tokens,
            ModelPrograms.TARGETS, targets,
            ModelTrace.STEP, step,
            ModelTrace.LANE, lane);
    Map<String, Tensor> all = new LinkedHashMap<>(bindings);
    for (Graph.Named input : program.inputs()) {
      Tensor tensor = ours.get(input.name());
      if (tensor != null) {
        all.put(input.name(), tensor);
      }
    }
    return all;
  }
}
