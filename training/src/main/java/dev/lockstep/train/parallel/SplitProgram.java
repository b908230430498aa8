package dev.lockstep.train.parallel;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.GraphSplitter.Collective;
import dev.lockstep.graph.GraphSplitter.Compute;
import dev.lockstep.graph.GraphSplitter.Part;
import dev.lockstep.graph.GraphSplitter.Segments;
import dev.lockstep.graph.Primitive;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// A graph with collectives, bound to its tensors: a device runs the segments between collectives,
/// the host runs the collectives. Neighbouring collectives whose operands lie side by side in
/// memory run as one **bucket**. Confined to the stream that runs it; running allocates nothing.
public final class SplitProgram {
  private final Device device;
  private final Map<String, Tensor> tensors;
  private final Scope scope;
  private final Step[] steps;

  /// What runs next: a segment or a bucket.
  private sealed interface Step {
    record Segment(BoundProgram program) implements Step {}

    record Bucket(Exchange.Prepared collective) implements Step {}
  }

  /// Cuts, compiles and binds a graph.
  ///
  /// @param scope owns the programs, the prepared collectives and the memory of their results
  /// @param exchange runs the collectives; every rank's graph has the same ones
  /// @param bindings every input, and every output but the results of collectives
  public SplitProgram(
      Scope scope, Device device, Graph graph, Exchange exchange, Map<String, Tensor> bindings) {
    this.scope = scope;
    this.device = device;
    this.tensors = new HashMap<>(bindings);
    Segments segments = GraphSplitter.split(graph);
    allocateCrossings(segments);
    this.steps = steps(segments.parts(), exchange).toArray(Step[]::new);
  }

  private void allocateCrossings(Segments segments) {
    List<String> results =
        segments.parts().stream()
            .filter(Collective.class::isInstance)
            .map(part -> ((Collective) part).output())
            .toList();
    Map<String, Shape> shapes = new LinkedHashMap<>();
    for (Graph.Named crossing : segments.crossings()) {
      if (!results.contains(crossing.name())) {
        shapes.put(crossing.name(), crossing.value().type().shape());
      }
    }
    if (!shapes.isEmpty()) {
      FlatTensors memory =
          FlatTensors.allocateShared(device, segments.graph().name(), FlatLayout.of(shapes));
      tensors.putAll(scope.own(memory, FlatTensors::close).byName());
    }
  }

  private List<Step> steps(List<Part> parts, Exchange exchange) {
    List<Step> found = new ArrayList<>();
    List<Collective> run = new ArrayList<>();
    for (Part part : parts) {
      switch (part) {
        case Collective collective -> run.add(collective);
        case Compute(Graph segment) -> {
          found.addAll(buckets(run, exchange));
          run.clear();
          found.add(new Step.Segment(compile(segment)));
        }
      }
    }
    found.addAll(buckets(run, exchange));
    return found;
  }

  private List<Step> buckets(List<Collective> run, Exchange exchange) {
    List<Step> found = new ArrayList<>();
    for (Bucket bucket : Bucket.group(run, tensors)) {
      Primitive.AllReduce op = bucket.op();
      FlatTensors memory = scope.own(bucket.allocateResults(device), FlatTensors::close);
      tensors.putAll(memory.byName());
      Exchange.Prepared prepared = exchange.prepare(op, bucket.inputs(), memory.whole());
      found.add(new Step.Bucket(scope.own(prepared, Exchange.Prepared::close)));
    }
    return found;
  }

  private BoundProgram compile(Graph segment) {
    Program program = scope.own(device.compile(segment), Program::close);
    Map<String, Tensor> bound = new HashMap<>();
    segment.inputs().forEach(input -> bound.put(input.name(), tensor(input.name())));
    segment.outputs().stream()
        .filter(output -> !segment.aliases().containsKey(output.name()))
        .forEach(output -> bound.put(output.name(), tensor(output.name())));
    return program.bind(bound);
  }

  /// Returns the programs of the segments between collectives, in order.
  public List<Program> segments() {
    List<Program> segments = new ArrayList<>();
    for (Step step : steps) {
      if (step instanceof Step.Segment(BoundProgram bound)) {
        segments.add(bound.program());
      }
    }
    return segments;
  }

  /// Returns where an input, an output or the result of a collective lives.
  ///
  /// @throws IllegalArgumentException if nothing has that name
  public Tensor tensor(String name) {
    Tensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException("nothing is bound to this name: name=" + name);
    }
    return tensor;
  }

  /// Runs the program once and waits for it.
  public void run(Stream stream) {
    for (Step step : steps) {
      switch (step) {
        case Step.Segment(BoundProgram program) -> stream.run(program);
        case Step.Bucket(Exchange.Prepared collective) -> {
          stream.synchronize();
          collective.run();
        }
      }
    }
    stream.synchronize();
  }
}
