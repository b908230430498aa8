package dev.lockstep.train;

import dev.lockstep.failure.CheckpointException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.checkpoint.HuggingFaceFolder;
import dev.lockstep.train.checkpoint.Safetensors.TensorData;
import dev.lockstep.train.checkpoint.SafetensorsSet;
import dev.lockstep.train.checkpoint.Sha256;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.parallel.FlatLayout;
import dev.lockstep.train.placement.Parts;
import dev.lockstep.train.placement.Placement;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// What a rank holds of named tensors of a model: of its parameters, or of its optimizer's moments.
final class ModelState {
  // 1 MiB: what stays in a core's cache between being made and being copied.
  private static final long PIECE_ELEMENTS = 1 << 18;

  private final RankCompute compute;
  private final Grid grid;
  private final Map<String, Parameter> parameterOf;
  private final FlatLayout layout;
  private final FlatRanges ranges;
  private final List<Held> stages;
  private final Tensor memory;

  /// What a stage of a pipeline holds of the state; without one there is one stage.
  ///
  /// @param parameters whose state
  /// @param parameterOf the tensors' parameters, by name
  /// @param layout how they lie when nothing is sharded
  /// @param ranges which elements of the layout each rank of the data axis holds
  private record Held(
      HeldParameters parameters,
      Map<String, Parameter> parameterOf,
      FlatLayout layout,
      FlatRanges ranges) {}

  private ModelState(RankCompute compute, Grid grid, List<Held> stages, String name) {
    this.compute = compute;
    this.grid = grid;
    this.stages = stages;
    Held own = stages.get(grid.pipeline().rank());
    this.parameterOf = own.parameterOf;
    this.layout = own.layout;
    this.ranges = own.ranges;
    long elements = ranges.elements(grid.data().rank());
    Buffer buffer = compute.allocateShared(name, elements * DType.F32.bytes());
    this.memory = Tensor.of(buffer, DType.F32, Shape.of(elements));
  }

  /// Allocates the parameters, zeroed.
  ///
  /// @param stages what each stage of a pipeline holds; one without one
  static ModelState parameters(RankCompute compute, List<HeldParameters> stages) {
    return parameters(compute, compute.grid(), stages);
  }

  /// Allocates the whole parameters, zeroed, whatever the rank holds of them.
  static ModelState wholeParameters(RankCompute compute, List<Parameter> parameters) {
    return parameters(compute, Grid.alone(), List.of(HeldParameters.all(parameters)));
  }

  private static ModelState parameters(
      RankCompute compute, Grid grid, List<HeldParameters> stages) {
    List<Held> held = new ArrayList<>();
    for (HeldParameters parameters : stages) {
      Map<String, Parameter> names = new LinkedHashMap<>();
      parameters.parameters().forEach(parameter -> names.put(parameter.name(), parameter));
      FlatLayout layout = parameterLayout(grid, parameters.parameters());
      held.add(new Held(parameters, names, layout, parameterRanges(grid, parameters, layout)));
    }
    return new ModelState(compute, grid, held, "parameters");
  }

  private static FlatRanges parameterRanges(
      Grid grid, HeldParameters parameters, FlatLayout layout) {
    return grid.isGathered()
        ? FlatRanges.ofUnits(layout, grid.shards(parameters))
        : FlatRanges.whole(layout, grid.data().ranks());
  }

  /// Returns the bytes of the parameters that a rank holds.
  static long parameterBytes(Grid grid, HeldParameters parameters) {
    FlatLayout layout = parameterLayout(grid, parameters.parameters());
    FlatRanges ranges = parameterRanges(grid, parameters, layout);
    return ranges.elements(grid.data().rank()) * DType.F32.bytes();
  }

  /// Returns how the parameters lie in memory.
  static FlatLayout parameterLayout(Grid grid, List<Parameter> parameters) {
    Map<String, Shape> shapes = new LinkedHashMap<>();
    parameters.forEach(parameter -> shapes.put(parameter.name(), grid.localShape(parameter)));
    return FlatLayout.of(shapes);
  }

  /// Allocates the optimizer's moments, zeroed.
  ///
  /// @param stages what each stage of a pipeline holds; one without one
  static ModelState moments(RankCompute compute, List<HeldParameters> stages) {
    Grid grid = compute.grid();
    List<Held> held = new ArrayList<>();
    for (HeldParameters parameters : stages) {
      Map<String, Parameter> names = new LinkedHashMap<>();
      List<Parameter> all = parameters.parameters();
      all.forEach(p -> names.put(StepGraph.FIRST_MOMENT + p.name(), p));
      all.forEach(p -> names.put(StepGraph.SECOND_MOMENT + p.name(), p));
      FlatLayout layout = momentLayout(grid, all);
      held.add(new Held(parameters, names, layout, momentRanges(grid, parameters, layout)));
    }
    return new ModelState(compute, grid, held, "moments");
  }

  private static FlatRanges momentRanges(Grid grid, HeldParameters parameters, FlatLayout layout) {
    return grid.isSharded()
        ? FlatRanges.of(
            layout,
            grid.shards(parameters),
            List.of(
                p -> StepGraph.FIRST_MOMENT + p.name(), p -> StepGraph.SECOND_MOMENT + p.name()))
        : FlatRanges.whole(layout, grid.data().ranks());
  }

  /// Returns the bytes of the moments that a rank holds.
  static long momentBytes(Grid grid, HeldParameters parameters) {
    FlatLayout layout = momentLayout(grid, parameters.parameters());
    long elements = momentRanges(grid, parameters, layout).elements(grid.data().rank());
    return elements * DType.F32.bytes();
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
        (name, parameter) -> fill(name, (first, to) -> parameter.initialize(seed, first, to)));
  }

  /// Makes elements of a whole tensor.
  private interface Source {
    /// Writes those from `first` on.
    void write(long first, MemorySegment to);
  }

  /// Fills what this rank holds of a tensor, a piece at a time: host memory that is on no budget
  /// stays small, and no rank makes what others hold.
  private void fill(String name, Source source) {
    long start = layout.offset(name) / DType.F32.bytes();
    long all = grid.localShape(parameter(name)).elements();
    try (Arena arena = Arena.ofConfined()) {
      long most = Math.min(PIECE_ELEMENTS, all);
      MemorySegment scratch = arena.allocate(most * DType.F32.bytes(), DType.F32.bytes());
      ranges.parts(
          grid.data().rank(),
          start,
          all,
          (held, from, length) -> {
            for (long done = 0; done < length; done += most) {
              long count = Math.min(most, length - done);
              MemorySegment piece = scratch.asSlice(0, count * DType.F32.bytes());
              write(parameter(name), from - start + done, piece, source);
              compute.stream().copyIn(vector(held + done, count), piece);
            }
          });
      compute.stream().synchronize();
    }
  }

  /// Writes elements of this rank's part of a whole tensor.
  private void write(Parameter parameter, long start, MemorySegment piece, Source source) {
    Parts.within(
        parameter.shape(),
        grid.placement(parameter),
        grid.model().of(parameter),
        start,
        piece.byteSize() / DType.F32.bytes(),
        (whole, part, count) ->
            source.write(
                whole,
                piece.asSlice((part - start) * DType.F32.bytes(), count * DType.F32.bytes())));
  }

  /// Returns some of the elements that this rank holds, as a vector.
  Tensor vector(long start, long elements) {
    return new Tensor(memory.buffer(), start * DType.F32.bytes(), DType.F32, Shape.of(elements));
  }

  /// Returns the parameter that a tensor belongs to.
  Parameter parameter(String name) {
    Parameter parameter = stages.get(stage(name)).parameterOf.get(name);
    if (parameter == null) {
      throw new IllegalStateException("tensor belongs to no parameter: tensor=" + name);
    }
    return parameter;
  }

  /// Returns the first stage that holds a tensor.
  int stage(String name) {
    for (int stage = 0; stage < stages.size(); stage++) {
      if (stages.get(stage).parameterOf.containsKey(name)) {
        return stage;
      }
    }
    throw new IllegalStateException("tensor belongs to no parameter: tensor=" + name);
  }

  /// Returns the names of the tensors, stage after stage.
  List<String> names() {
    Set<String> names = new LinkedHashSet<>();
    stages.forEach(stage -> names.addAll(stage.parameterOf.keySet()));
    return List.copyOf(names);
  }

  /// Fills all tensors from files of whole tensors.
  ///
  /// @param stem what the files' names start with
  /// @throws CheckpointException if one is missing or of another type or shape
  void load(Path folder, String stem) {
    try (SafetensorsSet saved = SafetensorsSet.open(folder, stem)) {
      load(saved.tensors(), folder.resolve(stem).toString(), Set.of(DType.F32));
    }
  }

  /// Fills all tensors from weights, whose narrower floats are widened a piece at a time.
  ///
  /// @throws CheckpointException if one is missing or of another shape
  void load(HuggingFaceFolder weights) {
    load(weights.tensors(), weights.path().toString(), Set.of(DType.F32, DType.BF16, DType.F16));
  }

  /// Fills all tensors from whole ones.
  ///
  /// @param origin where they come from, for messages
  private void load(Map<String, TensorData> whole, String origin, Set<DType> dtypes) {
    parameterOf.forEach(
        (name, parameter) -> {
          TensorData data = whole.get(name);
          if (data == null
              || !dtypes.contains(data.dtype())
              || !data.shape().equals(parameter.shape())) {
            throw new CheckpointException(
                origin,
                "checkpoint does not fit its recipe: file=%s, tensor=%s, expected=%s%s, found=%s"
                    .formatted(origin, name, DType.F32, parameter.shape(), describe(data)),
                null);
          }
          fill(name, data::copyAsF32);
        });
  }

  private static String describe(@Nullable TensorData data) {
    return data == null ? "nothing" : data.dtype().toString() + data.shape();
  }

  /// Starts to gather all tensors, whole, on rank 0; where ranks hold parts, every rank does.
  StateGather gather() {
    return new StateGather(compute, this, names());
  }

  /// Fills all tensors, which lie whole here, with those of a source.
  void receive(StateGather source) {
    for (String name : source.tensors().keySet()) {
      long elements = parameter(name).shape().elements();
      for (long done = 0; done < elements; ) {
        MemorySegment part = source.next();
        long count = part.byteSize() / DType.F32.bytes();
        compute.stream().copyIn(piece(name, done, count), part);
        compute.stream().synchronize();
        done += count;
      }
    }
  }

  /// Returns the hash of all tensors; where ranks hold parts, every rank calls this.
  String sha256() {
    List<String> sorted = names().stream().sorted().toList();
    try (StateGather all = new StateGather(compute, this, sorted)) {
      if (isWhole()) {
        return Sha256.of(all);
      }
      String hash = "";
      if (compute.place().rank() == 0) {
        hash = Sha256.of(all);
      }
      all.drain();
      return compute.exchange().words(hash).getFirst();
    }
  }

  /// Returns the parameters that this rank's tensors belong to.
  HeldParameters held() {
    return stages.get(grid.pipeline().rank()).parameters;
  }

  /// Returns whether this rank holds everything.
  boolean isWhole() {
    return ranges.isWhole() && !grid.isSplit() && !grid.isStaged();
  }

  /// Returns how many ranks of the data axis hold parts that differ.
  int holders() {
    return ranges.isWhole() ? 1 : grid.data().ranks();
  }

  /// Returns which elements of its layout each rank of the data axis of a stage holds.
  FlatRanges ranges(int stage) {
    return stages.get(stage).ranges;
  }

  /// Returns how a tensor lies over the ranks that layers are split over.
  Placement placement(String name) {
    return grid.placement(parameter(name));
  }

  /// Returns a tensor's first element in the layout of the stage that [#stage] names.
  long start(String name) {
    return stages.get(stage(name)).layout.offset(name) / DType.F32.bytes();
  }

  /// Returns what this rank holds, by name; for state that is not sharded.
  Map<String, Tensor> byName() {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    parameterOf.keySet().forEach(name -> tensors.put(name, tensor(name)));
    return tensors;
  }

  private Tensor tensor(String name) {
    if (!ranges.isWhole()) {
      throw new IllegalStateException("state is sharded: tensor=" + name);
    }
    Shape shape = grid.localShape(parameter(name));
    return new Tensor(memory.buffer(), layout.offset(name), DType.F32, shape);
  }

  /// Returns a run of a tensor that this rank holds, as a vector.
  Tensor piece(String name, long start, long elements) {
    long first = layout.offset(name) / DType.F32.bytes() + start;
    List<Tensor> found = new ArrayList<>();
    ranges.parts(
        grid.data().rank(), first, elements, (held, _, length) -> found.add(vector(held, length)));
    if (found.size() != 1 || found.getFirst().shape().elements() != elements) {
      throw new IllegalStateException("rank does not hold this run: tensor=" + name);
    }
    return found.getFirst();
  }

  /// Returns all that this rank holds.
  Tensor memory() {
    return memory;
  }

  /// Returns where the tensors lie when nothing is sharded.
  FlatLayout layout() {
    return layout;
  }

  /// Returns for each use of a parameter, by its input's name, what this rank holds of it.
  Map<String, Tensor> bindings(List<ParameterUse> uses) {
    Map<String, Tensor> bindings = new LinkedHashMap<>();
    uses.forEach(use -> bindings.put(use.inputName(), tensor(use.parameter().name())));
    return bindings;
  }
}
