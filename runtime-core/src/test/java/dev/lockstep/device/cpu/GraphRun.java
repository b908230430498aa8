package dev.lockstep.device.cpu;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// A graph on a device with tensors of its own, for tests.
final class GraphRun implements AutoCloseable {
  private final Graph graph;
  private final Buffer buffer;
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();
  private final Program program;
  private final Stream stream;

  GraphRun(Device device, Graph graph) {
    this.graph = graph;
    List<Graph.Named> all = new ArrayList<>(graph.inputs());
    graph.outputs().stream()
        .filter(output -> !graph.aliases().containsKey(output.name()))
        .forEach(all::add);
    // One buffer for all: freeing one is expensive while other threads are busy.
    buffer = device.allocate("tensors", all.stream().mapToLong(GraphRun::room).sum() + 64);
    long offset = 0;
    for (Graph.Named named : all) {
      ValueType type = named.value().type();
      tensors.put(named.name(), new Tensor(buffer, offset, type.dtype(), type.shape()));
      offset += room(named);
    }
    program = device.compile(graph);
    stream = device.newStream();
  }

  private static long room(Graph.Named named) {
    return (named.value().type().bytes() + 63) & -64L;
  }

  static Device device(int threads, int vectorBits) {
    MemoryPool pool = MemoryPool.root("test", Long.MAX_VALUE);
    return new CpuDeviceProvider().open(0, new DeviceOptions(pool, threads, vectorBits));
  }

  Map<String, Tensor> tensors() {
    return tensors;
  }

  Program program() {
    return program;
  }

  Stream stream() {
    return stream;
  }

  /// Where an output lies.
  Tensor output(String name) {
    String input = graph.aliases().get(name);
    return tensor(input == null ? name : input);
  }

  Tensor tensor(String name) {
    Tensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException("no such tensor: tensor=" + name);
    }
    return tensor;
  }

  GraphRun set(String name, double... elements) {
    Tensor tensor = tensor(name);
    long base = tensor.segment().address();
    for (int i = 0; i < elements.length; i++) {
      Numbers.store(tensor.dtype(), base, i, elements[i]);
    }
    return this;
  }

  GraphRun run() {
    stream.run(program.bind(tensors));
    return this;
  }

  double[] get(String output) {
    Tensor tensor = output(output);
    double[] elements = new double[(int) tensor.shape().elements()];
    for (int i = 0; i < elements.length; i++) {
      elements[i] = Numbers.load(tensor.dtype(), tensor.segment().address(), i);
    }
    return elements;
  }

  /// Sets the inputs to those of another run of the graph.
  GraphRun copyFrom(GraphRun other) {
    buffer.segment().copyFrom(other.buffer.segment());
    return this;
  }

  /// Sets the inputs, runs, and returns the outputs in order.
  List<double[]> run(Map<String, double[]> inputs) {
    inputs.forEach(this::set);
    run();
    return graph.outputs().stream().map(output -> get(output.name())).toList();
  }

  @Override
  public void close() {
    stream.close();
    program.close();
    buffer.close();
  }
}
