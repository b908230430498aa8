package dev.lockstep.device;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/// A graph compiled on a device with tensors of its own bound to it.
final class DeviceRunner implements AutoCloseable {
  private final Graph graph;
  private final Stream stream;
  private final Program program;
  private final BoundProgram bound;
  private final List<Buffer> buffers = new ArrayList<>();
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();

  DeviceRunner(Device device, Graph graph) {
    this.graph = graph;
    this.program = device.compile(graph);
    this.stream = device.newStream();
    graph.inputs().forEach(in -> tensors.put(in.name(), allocate(device, in)));
    for (Graph.Named out : graph.outputs()) {
      String input = graph.aliases().get(out.name());
      tensors.put(
          out.name(),
          input == null ? allocate(device, out) : Objects.requireNonNull(tensors.get(input)));
    }
    this.bound = program.bind(tensors);
  }

  private Tensor allocate(Device device, Graph.Named named) {
    ValueType type = named.value().type();
    Buffer buffer = device.allocate(named.name(), type.bytes());
    buffers.add(buffer);
    return Tensor.of(buffer, type.dtype(), type.shape());
  }

  /// Runs a graph once and returns its outputs as numbers.
  static List<double[]> run(Device device, Graph graph, Map<String, double[]> inputs) {
    try (DeviceRunner runner = new DeviceRunner(device, graph)) {
      runner.set(inputs);
      runner.run();
      return runner.outputs();
    }
  }

  /// Runs a graph once and returns the bytes of its outputs.
  static List<byte[]> bits(Device device, Graph graph, Map<String, double[]> inputs) {
    try (DeviceRunner runner = new DeviceRunner(device, graph)) {
      runner.set(inputs);
      runner.run();
      return runner.outputBits();
    }
  }

  void set(Map<String, double[]> inputs) {
    inputs.forEach(this::set);
  }

  void set(String name, double[] numbers) {
    try (Arena arena = Arena.ofConfined()) {
      Tensor tensor = tensor(name);
      stream.copyIn(tensor, HostElements.encode(arena, numbers, tensor.dtype()));
      stream.synchronize();
    }
  }

  void run() {
    stream.run(bound);
    stream.synchronize();
  }

  /// Runs without waiting; allocates nothing of its own.
  void start() {
    stream.run(bound);
  }

  double[] get(String name) {
    DType dtype = tensor(name).dtype();
    return HostElements.decode(MemorySegment.ofArray(bytes(name)), dtype);
  }

  byte[] bytes(String name) {
    Tensor tensor = tensor(name);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment copy = arena.allocate(tensor.bytes(), 64);
      stream.copyOut(copy, tensor);
      return copy.toArray(ValueLayout.JAVA_BYTE);
    }
  }

  List<double[]> outputs() {
    return graph.outputs().stream().map(out -> get(out.name())).toList();
  }

  List<byte[]> outputBits() {
    return graph.outputs().stream().map(out -> bytes(out.name())).toList();
  }

  Tensor tensor(String name) {
    return Objects.requireNonNull(tensors.get(name));
  }

  Map<String, Tensor> tensors() {
    return new LinkedHashMap<>(tensors);
  }

  Program program() {
    return program;
  }

  Stream stream() {
    return stream;
  }

  @Override
  public void close() {
    stream.close();
    program.close();
    buffers.forEach(Buffer::close);
  }
}
