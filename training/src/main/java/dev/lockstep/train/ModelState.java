package dev.lockstep.train;

import dev.lockstep.device.Stream;
import dev.lockstep.failure.CheckpointException;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.checkpoint.Safetensors;
import dev.lockstep.train.checkpoint.Safetensors.TensorData;
import dev.lockstep.train.checkpoint.Sha256;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.parallel.FlatTensors;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// Named tensors of a model on a device: its parameters, or its optimizer's moments.
final class ModelState {
  private final FlatTensors tensors;

  private ModelState(FlatTensors tensors) {
    this.tensors = tensors;
  }

  /// Allocates the parameters, zeroed.
  static ModelState parameters(RankCompute compute, List<Parameter> parameters) {
    return new ModelState(compute.allocate("parameters", parameterLayout(parameters)));
  }

  /// Returns how the parameters lie in memory.
  static FlatLayout parameterLayout(List<Parameter> parameters) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    parameters.forEach(parameter -> shapes.put(parameter.name(), parameter.shape()));
    return FlatLayout.of(shapes);
  }

  /// Allocates the optimizer's moments, zeroed.
  static ModelState moments(RankCompute compute, List<Parameter> parameters) {
    return new ModelState(compute.allocate("moments", momentLayout(parameters)));
  }

  /// Returns how the moments lie in memory.
  static FlatLayout momentLayout(List<Parameter> parameters) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    parameters.forEach(p -> shapes.put(StepGraph.FIRST_MOMENT + p.name(), p.shape()));
    parameters.forEach(p -> shapes.put(StepGraph.SECOND_MOMENT + p.name(), p.shape()));
    return FlatLayout.of(shapes);
  }

  /// Fills parameters with their initial numbers.
  void initialize(Stream stream, List<Parameter> parameters, long seed) {
    for (Parameter parameter : parameters) {
      Tensor tensor = tensors.get(parameter.name());
      try (Arena arena = Arena.ofConfined()) {
        MemorySegment staging = arena.allocate(tensor.bytes());
        parameter.initialize(seed, staging);
        stream.copyIn(tensor, staging);
        stream.synchronize();
      }
    }
  }

  /// Fills all tensors from a file.
  ///
  /// @throws CheckpointException if one is missing or of another type or shape
  void load(Stream stream, Path file) {
    try (Safetensors saved = Safetensors.open(file)) {
      tensors
          .byName()
          .forEach(
              (name, tensor) -> {
                TensorData data = saved.tensors().get(name);
                if (data == null
                    || data.dtype() != tensor.dtype()
                    || !data.shape().equals(tensor.shape())) {
                  throw new CheckpointException(
                      file.toString(),
                      "checkpoint does not fit its recipe: file=%s, tensor=%s, expected=%s%s, found=%s"
                          .formatted(file, name, tensor.dtype(), tensor.shape(), describe(data)),
                      null);
                }
                stream.copyIn(tensor, data.data());
              });
      stream.synchronize();
    }
  }

  private static String describe(@Nullable TensorData data) {
    return data == null ? "nothing" : data.dtype().toString() + data.shape();
  }

  /// Copies all tensors to host memory of an arena.
  Map<String, TensorData> copyOut(Stream stream, Arena arena) {
    Map<String, TensorData> copies = new LinkedHashMap<>();
    tensors
        .byName()
        .forEach(
            (name, tensor) -> {
              MemorySegment copy = arena.allocate(tensor.bytes(), DType.F32.bytes());
              stream.copyOut(copy, tensor);
              copies.put(name, new TensorData(tensor.dtype(), tensor.shape(), copy));
            });
    return copies;
  }

  /// Returns the hash of all tensors.
  String sha256(Stream stream) {
    try (Arena arena = Arena.ofConfined()) {
      return Sha256.of(copyOut(stream, arena));
    }
  }

  /// Returns the tensors by name.
  Map<String, Tensor> byName() {
    return tensors.byName();
  }

  /// Returns for each use of a parameter, by its input's name, the parameter's tensor.
  Map<String, Tensor> bindings(List<ParameterUse> uses) {
    Map<String, Tensor> bindings = new LinkedHashMap<>();
    uses.forEach(use -> bindings.put(use.inputName(), tensors.get(use.parameter().name())));
    return bindings;
  }
}
