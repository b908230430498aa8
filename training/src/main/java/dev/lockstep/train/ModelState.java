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
import dev.lockstep.train.placement.AxisPlace;
import dev.lockstep.train.placement.Parts;
import dev.lockstep.train.placement.Placement;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// What a rank holds of named tensors of a model: of its parameters, or of its optimizer's moments.
final class ModelState {
  private final RankCompute compute;
  private final Grid grid;
  private final Map<String, Parameter> parameterOf;
  private final FlatTensors tensors;

  private ModelState(
      RankCompute compute, Grid grid, Map<String, Parameter> parameterOf, FlatTensors tensors) {
    this.compute = compute;
    this.grid = grid;
    this.parameterOf = parameterOf;
    this.tensors = tensors;
  }

  /// Allocates the parameters, zeroed.
  static ModelState parameters(RankCompute compute, List<Parameter> parameters) {
    return parameters(compute, compute.grid(), parameters);
  }

  /// Allocates the whole parameters, zeroed, whatever the rank holds of them.
  static ModelState wholeParameters(RankCompute compute, List<Parameter> parameters) {
    return parameters(compute, Grid.alone(), parameters);
  }

  private static ModelState parameters(RankCompute compute, Grid grid, List<Parameter> parameters) {
    Map<String, Parameter> names = new LinkedHashMap<>();
    parameters.forEach(parameter -> names.put(parameter.name(), parameter));
    FlatLayout layout = parameterLayout(grid, parameters);
    return new ModelState(compute, grid, names, compute.allocate("parameters", layout));
  }

  /// Returns how the parameters lie in memory.
  static FlatLayout parameterLayout(Grid grid, List<Parameter> parameters) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    parameters.forEach(parameter -> shapes.put(parameter.name(), grid.localShape(parameter)));
    return FlatLayout.of(shapes);
  }

  /// Allocates the optimizer's moments, zeroed.
  static ModelState moments(RankCompute compute, List<Parameter> parameters) {
    Map<String, Parameter> names = new LinkedHashMap<>();
    parameters.forEach(p -> names.put(StepGraph.FIRST_MOMENT + p.name(), p));
    parameters.forEach(p -> names.put(StepGraph.SECOND_MOMENT + p.name(), p));
    FlatLayout layout = momentLayout(compute.grid(), parameters);
    return new ModelState(compute, compute.grid(), names, compute.allocate("moments", layout));
  }

  /// Returns how the moments lie in memory.
  static FlatLayout momentLayout(Grid grid, List<Parameter> parameters) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    parameters.forEach(p -> shapes.put(StepGraph.FIRST_MOMENT + p.name(), grid.localShape(p)));
    parameters.forEach(p -> shapes.put(StepGraph.SECOND_MOMENT + p.name(), grid.localShape(p)));
    return FlatLayout.of(shapes);
  }

  /// Fills parameters with their initial numbers.
  void initialize(long seed) {
    parameterOf.forEach(
        (name, parameter) -> {
          try (Arena arena = Arena.ofConfined()) {
            long bytes = parameter.shape().elements() * DType.F32.bytes();
            MemorySegment whole = arena.allocate(bytes, DType.F32.bytes());
            parameter.initialize(seed, whole);
            copyIn(name, whole, arena);
          }
        });
  }

  /// Copies this rank's part of a whole tensor to the device.
  private void copyIn(String name, MemorySegment whole, Arena arena) {
    Tensor tensor = tensors.get(name);
    Parameter parameter = parameter(name);
    Placement placement = grid.placement(parameter);
    MemorySegment part = whole;
    if (placement instanceof Placement.Shard) {
      part = arena.allocate(tensor.bytes(), DType.F32.bytes());
      Parts.take(whole, part, parameter.shape(), placement, grid.tensor(), DType.F32.bytes());
    }
    compute.stream().copyIn(tensor, part);
    compute.stream().synchronize();
  }

  private Parameter parameter(String name) {
    Parameter parameter = parameterOf.get(name);
    if (parameter == null) {
      throw new IllegalStateException("tensor belongs to no parameter: tensor=" + name);
    }
    return parameter;
  }

  /// Fills all tensors from a file of whole tensors.
  ///
  /// @throws CheckpointException if one is missing or of another type or shape
  void load(Path file) {
    try (Safetensors saved = Safetensors.open(file)) {
      load(saved.tensors(), file.toString());
    }
  }

  /// Fills all tensors from whole ones.
  ///
  /// @param source where they come from, for messages
  void load(Map<String, TensorData> whole, String source) {
    parameterOf.forEach(
        (name, parameter) -> {
          TensorData data = whole.get(name);
          if (data == null
              || data.dtype() != DType.F32
              || !data.shape().equals(parameter.shape())) {
            throw new CheckpointException(
                source,
                "checkpoint does not fit its recipe: file=%s, tensor=%s, expected=%s%s, found=%s"
                    .formatted(source, name, DType.F32, parameter.shape(), describe(data)),
                null);
          }
          try (Arena arena = Arena.ofConfined()) {
            copyIn(name, data.data(), arena);
          }
        });
  }

  private static String describe(@Nullable TensorData data) {
    return data == null ? "nothing" : data.dtype().toString() + data.shape();
  }

  /// Copies all tensors, whole, to host memory of an arena; where ranks hold parts, every rank
  /// calls this.
  Map<String, TensorData> copyOut(Arena arena) {
    Stream stream = compute.stream();
    Tensor flat = tensors.whole();
    MemorySegment own = arena.allocate(flat.bytes(), DType.F32.bytes());
    stream.copyOut(own, flat);
    AxisPlace axis = grid.tensor();
    List<MemorySegment> held =
        HostGather.gather(compute, axis, own, flat.shape().elements(), arena);
    Map<String, TensorData> copies = new LinkedHashMap<>();
    parameterOf.forEach(
        (name, parameter) -> copies.put(name, whole(tensors.get(name), parameter, held, arena)));
    return copies;
  }

  private TensorData whole(
      Tensor tensor, Parameter parameter, List<MemorySegment> held, Arena arena) {
    Placement placement = grid.placement(parameter);
    List<MemorySegment> parts = new ArrayList<>();
    held.forEach(segment -> parts.add(segment.asSlice(tensor.offset(), tensor.bytes())));
    if (!(placement instanceof Placement.Shard)) {
      return new TensorData(DType.F32, parameter.shape(), parts.getFirst());
    }
    long bytes = parameter.shape().elements() * DType.F32.bytes();
    MemorySegment whole = arena.allocate(bytes, DType.F32.bytes());
    AxisPlace axis = grid.tensor();
    for (int rank = 0; rank < axis.ranks(); rank++) {
      AxisPlace place = new AxisPlace(axis.name(), axis.ranks(), rank);
      Parts.put(parts.get(rank), whole, parameter.shape(), placement, place, DType.F32.bytes());
    }
    return new TensorData(DType.F32, parameter.shape(), whole);
  }

  /// Returns the hash of all tensors; where ranks hold parts, every rank calls this.
  String sha256() {
    try (Arena arena = Arena.ofConfined()) {
      return Sha256.of(copyOut(arena));
    }
  }

  /// Returns what this rank holds, by name.
  Map<String, Tensor> byName() {
    return tensors.byName();
  }

  /// Returns for each use of a parameter, by its input's name, what this rank holds of it.
  Map<String, Tensor> bindings(List<ParameterUse> uses) {
    Map<String, Tensor> bindings = new LinkedHashMap<>();
    uses.forEach(use -> bindings.put(use.inputName(), tensors.get(use.parameter().name())));
    return bindings;
  }
}
