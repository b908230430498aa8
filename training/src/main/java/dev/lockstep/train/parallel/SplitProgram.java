package dev.lockstep.train.parallel;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Device;
import dev.lockstep.device.Program;
import dev.lockstep.device.Stream;
import dev.lockstep.device.Support;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphSplitter;
import dev.lockstep.graph.GraphSplitter.Collective;
import dev.lockstep.graph.GraphSplitter.Compute;
import dev.lockstep.graph.GraphSplitter.Part;
import dev.lockstep.graph.GraphSplitter.Segments;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.IntFunction;
import java.util.function.Predicate;

/// A graph with collectives: a device runs the segments between collectives, the host runs the
/// collectives; a device that keeps them all inside its program runs the whole. Neighbouring
/// collectives whose operands lie side by side in memory run as one **bucket**. Compiled once,
/// bound to tensors as often as need be; what crosses between segments lies in memory that all
/// bindings share, so one binding runs at a time. Confined to the stream that runs it; running
/// allocates nothing.
public final class SplitProgram implements LaneRunner {
  private final Scope scope;
  private final Device device;
  private final Exchange exchange;
  private final Segments segments;
  private final Map<Compute, Program> programs = new LinkedHashMap<>();
  private final Map<String, Tensor> crossings = new HashMap<>();
  private final Map<Set<String>, FlatTensors> buckets = new HashMap<>();
  private final Map<Call, Exchange.Prepared> prepared = new HashMap<>();

  private record Call(Primitive op, List<Tensor> inputs, Tensor output) {}

  /// What runs next: a segment or a bucket.
  private sealed interface Step {
    /// Returns the number of the part, or of the last that is in it.
    int part();

    record Segment(BoundProgram program, int part) implements Step {}

    record Exchanged(Exchange.Prepared collective, int part) implements Step {}
  }

  /// Cuts and compiles a graph.
  ///
  /// @param scope owns the programs, the prepared collectives and the memory of what crosses
  /// @param exchange runs the collectives; every rank's graph has the same ones
  public SplitProgram(Scope scope, Device device, Graph graph, Exchange exchange) {
    this(scope, device, cut(graph, device), exchange);
  }

  /// Returns a graph as a device is given it ([#cut(Graph, Predicate)]).
  public static Segments cut(Graph graph, Device device) {
    return cut(graph, node -> device.supports(node.op(), types(node)) instanceof Support.Yes);
  }

  /// Returns a graph whole if a device keeps every collective of it inside its program, or there is
  /// none, else cut at each.
  ///
  /// @param keeps whether the device keeps a collective inside
  public static Segments cut(Graph graph, Predicate<Node> keeps) {
    boolean isWhole =
        graph.nodes().stream()
            .filter(node -> node.op() instanceof Primitive op && op.isCollective())
            .allMatch(keeps);
    return isWhole
        ? new Segments(graph, List.of(new Compute(graph)), List.of())
        : GraphSplitter.split(graph);
  }

  private static List<ValueType> types(Node node) {
    return node.inputs().stream().map(Value::type).toList();
  }

  /// Compiles a graph that is cut already.
  ///
  /// @param scope owns the programs, the prepared collectives and the memory of what crosses
  /// @param exchange runs the collectives; every rank's graph has the same ones
  public SplitProgram(Scope scope, Device device, Segments segments, Exchange exchange) {
    this(scope, device, segments, exchange, compile(scope, device, List.of(segments)));
  }

  private SplitProgram(
      Scope scope,
      Device device,
      Segments segments,
      Exchange exchange,
      Map<Compute, Program> compiled) {
    this.scope = scope;
    this.device = device;
    this.exchange = exchange;
    this.segments = segments;
    for (Compute compute : computes(segments)) {
      Program program = compiled.get(compute);
      if (program != null) {
        programs.put(compute, program);
      }
    }
    allocateCrossings();
  }

  /// Compiles graphs that are cut already, of which one runs at a time: they share what they
  /// compute in.
  ///
  /// @param scope owns the programs, the prepared collectives and the memory of what crosses
  /// @param exchange runs the collectives; every rank's graphs have the same ones
  public static List<SplitProgram> together(
      Scope scope, Device device, List<Segments> all, Exchange exchange) {
    Map<Compute, Program> compiled = compile(scope, device, all);
    return all.stream()
        .map(segments -> new SplitProgram(scope, device, segments, exchange, compiled))
        .toList();
  }

  private static List<Compute> computes(Segments segments) {
    List<Compute> computes = new ArrayList<>();
    for (Part part : segments.parts()) {
      if (part instanceof Compute compute) {
        computes.add(compute);
      }
    }
    return computes;
  }

  private static Map<Compute, Program> compile(Scope scope, Device device, List<Segments> all) {
    List<Compute> computes = all.stream().flatMap(segments -> computes(segments).stream()).toList();
    List<Program> compiled = device.compileTogether(computes.stream().map(Compute::graph).toList());
    Map<Compute, Program> programs = new HashMap<>();
    for (int i = 0; i < computes.size(); i++) {
      programs.put(computes.get(i), scope.own(compiled.get(i), Program::close));
    }
    return programs;
  }

  private void allocateCrossings() {
    Crossings plan = Crossings.plan(segments);
    if (plan.bytes() == 0) {
      return;
    }
    String name = segments.graph().name() + " crossings";
    Buffer buffer = scope.own(device.allocateShared(name, plan.bytes()), Buffer::close);
    for (Graph.Named crossing : segments.crossings()) {
      Long offset = plan.offsets().get(crossing.name());
      if (offset != null) {
        var type = crossing.value().type();
        crossings.put(crossing.name(), new Tensor(buffer, offset, type.dtype(), type.shape()));
      }
    }
  }

  /// Fixes where inputs and outputs live.
  ///
  /// @param tensors every input, and every output but the results of collectives; borrowed
  @Override
  public Bound bind(Map<String, Tensor> tensors) {
    return bind(tensors, _ -> Map.of());
  }

  /// Fixes where inputs and outputs live, some inputs for each part by themselves.
  ///
  /// @param tensors what is bound alike for all parts; borrowed
  /// @param ofPart what a part reads beside them, by its number in the cut graph; borrowed
  public Bound bind(Map<String, Tensor> tensors, IntFunction<Map<String, Tensor>> ofPart) {
    Map<String, Tensor> all = new HashMap<>(crossings);
    all.putAll(tensors);
    madeInside().forEach(name -> all.computeIfAbsent(name, this::kept));
    return new Bound(exchange, all, steps(all, ofPart).toArray(Step[]::new));
  }

  private List<Step> steps(Map<String, Tensor> tensors, IntFunction<Map<String, Tensor>> ofPart) {
    List<Step> found = new ArrayList<>();
    List<Collective> run = new ArrayList<>();
    for (int i = 0; i < segments.parts().size(); i++) {
      switch (segments.parts().get(i)) {
        case Collective collective -> {
          if (run.stream().anyMatch(before -> collective.inputs().contains(before.output()))) {
            found.addAll(exchanged(run, tensors, i - 1));
            run.clear();
          }
          run.add(collective);
        }
        case Compute compute -> {
          found.addAll(exchanged(run, tensors, i - 1));
          run.clear();
          Map<String, Tensor> own = new HashMap<>(tensors);
          own.putAll(ofPart.apply(i));
          found.add(new Step.Segment(bound(compute, own), i));
        }
      }
    }
    found.addAll(exchanged(run, tensors, segments.parts().size() - 1));
    return found;
  }

  private List<Step> exchanged(List<Collective> run, Map<String, Tensor> tensors, int part) {
    List<Step> found = new ArrayList<>();
    for (Bucket bucket : Bucket.group(run, tensors)) {
      String slot = bucket.members().keySet().iterator().next();
      Tensor result = bucket.isSingle() ? tensors.get(slot) : null;
      if (result == null) {
        FlatTensors memory = results(bucket);
        tensors.putAll(memory.byName());
        result = bucket.isSingle() ? memory.get(slot) : memory.whole();
      }
      Tensor flat =
          new Tensor(
              result.buffer(),
              result.offset(),
              result.dtype(),
              Shape.of(result.shape().elements()));
      Call call = new Call(bucket.op(), bucket.inputs(), flat);
      found.add(new Step.Exchanged(prepared.computeIfAbsent(call, this::prepare), part));
    }
    return found;
  }

  private FlatTensors results(Bucket bucket) {
    FlatLayout layout = bucket.isSingle() ? single(bucket) : bucket.layout();
    return buckets.computeIfAbsent(
        Set.copyOf(bucket.members().keySet()),
        _ ->
            scope.own(
                FlatTensors.allocateShared(device, segments.graph().name() + " reduced", layout),
                FlatTensors::close));
  }

  private FlatLayout single(Bucket bucket) {
    String slot = bucket.members().keySet().iterator().next();
    for (Graph.Named crossing : segments.crossings()) {
      if (crossing.name().equals(slot)) {
        return FlatLayout.of(Map.of(slot, crossing.value().type().shape()));
      }
    }
    return FlatLayout.of(Map.of(slot, segments.graph().output(slot).type().shape()));
  }

  private Exchange.Prepared prepare(Call call) {
    return scope.own(exchange.prepare(call.op, call.inputs, call.output), Exchange.Prepared::close);
  }

  private BoundProgram bound(Compute compute, Map<String, Tensor> tensors) {
    Graph segment = compute.graph();
    Map<String, Tensor> bound = new HashMap<>();
    segment.inputs().forEach(input -> bound.put(input.name(), tensor(tensors, input.name())));
    segment.outputs().stream()
        .filter(output -> !segment.aliases().containsKey(output.name()))
        .forEach(output -> bound.put(output.name(), tensor(tensors, output.name())));
    Program program = programs.get(compute);
    if (program == null) {
      throw new IllegalStateException("segment was not compiled: " + segment.name());
    }
    return program.bind(bound);
  }

  /// Outputs that collectives make within the device's programs.
  private List<String> madeInside() {
    Set<Value> made = new HashSet<>();
    for (Compute compute : programs.keySet()) {
      for (Node node : compute.graph().nodes()) {
        if (node.op() instanceof Primitive op && op.isCollective()) {
          made.addAll(node.outputs());
        }
      }
    }
    return segments.graph().outputs().stream()
        .filter(output -> made.contains(output.value()))
        .map(Graph.Named::name)
        .toList();
  }

  /// Memory of an output that nobody has bound.
  private Tensor kept(String name) {
    Shape shape = segments.graph().output(name).type().shape();
    return buckets
        .computeIfAbsent(
            Set.of(name),
            _ ->
                scope.own(
                    FlatTensors.allocateShared(
                        device,
                        segments.graph().name() + " kept",
                        FlatLayout.of(Map.of(name, shape))),
                    FlatTensors::close))
        .get(name);
  }

  private static Tensor tensor(Map<String, Tensor> tensors, String name) {
    Tensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException("nothing is bound to this name: name=" + name);
    }
    return tensor;
  }

  /// Returns the program before it was cut.
  public Graph graph() {
    return segments.graph();
  }

  @Override
  public List<Program> segments() {
    return List.copyOf(programs.values());
  }

  /// The program with its tensors.
  public static final class Bound implements Run {
    private final Exchange exchange;
    private final Map<String, Tensor> tensors;
    private final Step[] steps;

    private Bound(Exchange exchange, Map<String, Tensor> tensors, Step[] steps) {
      this.exchange = exchange;
      this.tensors = tensors;
      this.steps = steps;
    }

    /// Returns where an input, an output or the result of a collective lives.
    ///
    /// @throws IllegalArgumentException if nothing has that name
    public Tensor tensor(String name) {
      return SplitProgram.tensor(tensors, name);
    }

    /// Runs the program once. On return collectives are over, or queued between the segments by an
    /// exchange that follows the stream; what follows the last one is queued.
    @Override
    public void run(Stream stream) {
      run(stream, 0, Integer.MAX_VALUE);
    }

    /// Runs parts `[first, end)` of the cut graph; all of them are run in order.
    public void run(Stream stream, int first, int end) {
      for (Step step : steps) {
        if (step.part() < first || step.part() >= end) {
          continue;
        }
        switch (step) {
          case Step.Segment segment -> stream.run(segment.program);
          case Step.Exchanged exchanged -> {
            exchange.settle(stream);
            exchanged.collective.run();
          }
        }
      }
    }
  }
}
