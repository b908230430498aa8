package dev.lockstep.collective;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Whether tensors fit a request. What does not is a programmer's error of this rank alone.
final class TensorChecks {
  private final CollectiveRequest request;
  private final int rank;
  private final long sequence;

  private TensorChecks(CollectiveRequest request, int rank, long sequence) {
    this.request = request;
    this.rank = rank;
    this.sequence = sequence;
  }

  /// @throws IllegalArgumentException if tensors do not fit; it names rank, collective and sequence
  /// @throws IllegalStateException if one is closed; it names them too
  static void check(
      CollectiveRequest request,
      int rank,
      long sequence,
      List<Tensor> inputs,
      @Nullable Tensor output) {
    new TensorChecks(request, rank, sequence).check(inputs, output);
  }

  /// @throws IllegalStateException if a tensor is closed; it names rank, collective and sequence
  static void checkOpen(CollectiveRequest request, int rank, long sequence, Tensor tensor) {
    new TensorChecks(request, rank, sequence).isOpen("buffer", tensor);
  }

  private void check(List<Tensor> inputs, @Nullable Tensor output) {
    if (inputs.size() != request.inputs(rank)) {
      throw wrong(
          "wrong number of inputs",
          "inputs=%d, expected=%d".formatted(inputs.size(), request.inputs(rank)));
    }
    for (int i = 0; i < inputs.size(); i++) {
      fits("input " + i, inputs.get(i), request.inputElements(rank));
    }
    if (output == null) {
      if (request.outputElements(rank) > 0) {
        throw wrong("output is missing", "expectedElements=" + request.outputElements(rank));
      }
      return;
    }
    fits("output", output, request.outputElements(rank));
    if (request.inPlace() && !inputs.isEmpty()) {
      liesInPlace(inputs.getFirst(), output);
    }
    for (int i = request.inPlace() ? 1 : 0; i < inputs.size(); i++) {
      if (overlap(inputs.get(i).registration(), output.registration())) {
        throw wrong(
            "input and output overlap", "input=%d, inPlace=%s".formatted(i, request.inPlace()));
      }
    }
  }

  private void isOpen(String what, Tensor tensor) {
    if (tensor.buffer().isClosed()) {
      throw new IllegalStateException(
          sentence(what + " is closed", "buffer=" + tensor.buffer().name()));
    }
  }

  private void fits(String what, Tensor tensor, long elements) {
    isOpen(what, tensor);
    if (tensor.dtype() != request.dtype()) {
      throw wrong(
          what + " has another element type",
          "dtype=%s, expected=%s".formatted(tensor.dtype(), request.dtype()));
    }
    if (tensor.shape().elements() != elements) {
      throw wrong(
          what + " has another number of elements",
          "elements=%d, expected=%d".formatted(tensor.shape().elements(), elements));
    }
  }

  /// Returns whether input and output lie where they have to in place.
  static boolean isInPlace(CollectiveRequest request, int rank, Tensor input, Tensor output) {
    DType dtype = request.dtype();
    Registration in = input.registration();
    Registration out = output.registration();
    long inBase = in.offset() - request.inputStart(rank) * dtype.bytes();
    long outBase = out.offset() - request.outputStart(rank) * dtype.bytes();
    return in.region().equals(out.region()) && inBase == outBase;
  }

  private void liesInPlace(Tensor input, Tensor output) {
    if (!isInPlace(request, rank, input, output)) {
      Registration in = input.registration();
      Registration out = output.registration();
      throw wrong(
          "input does not lie in the output",
          "input=%s at %d, output=%s at %d"
              .formatted(in.region().name(), in.offset(), out.region().name(), out.offset()));
    }
  }

  /// Returns whether two ranges have a byte in common; an empty one has none, wherever it lies.
  private static boolean overlap(Registration a, Registration b) {
    return a.bytes() > 0
        && b.bytes() > 0
        && a.region().equals(b.region())
        && a.offset() < b.offset() + b.bytes()
        && b.offset() < a.offset() + a.bytes();
  }

  private IllegalArgumentException wrong(String what, String details) {
    return new IllegalArgumentException(sentence(what, details));
  }

  private String sentence(String what, String details) {
    return "%s: op=%s, rank=%d, sequence=%d, %s"
        .formatted(what, request.kind().label(), rank, sequence, details);
  }
}
