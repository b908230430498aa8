package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.RankGrid;
import dev.lockstep.device.Support;
import dev.lockstep.device.plan.StoragePlan;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Decomposition;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/// Emits a graph as an HLO module: composites by their decomposition, state that is updated in
/// place as aliases of parameters, collectives over groups of replicas.
public final class HloEmitter {
  private static final String INPUT_NAMES = "neff_input_names";
  private static final String OUTPUT_NAMES = "neff_output_names";

  private final RankVariants variants;
  private final Graph graph;
  private final ModuleBuilder module;
  private final Computation emit;
  private final Primitives primitives;
  private final @Nullable Hlo[] values;
  private final Set<String> names = new HashSet<>();
  private final List<HloModule.Port> inputs = new ArrayList<>();
  private final List<HloModule.Port> outputs = new ArrayList<>();
  private final Map<String, Integer> parameters = new HashMap<>();
  private final List<HloModule.Table> tables = new ArrayList<>();
  private final List<Hlo> bounds = new ArrayList<>();

  /// Where ranks compute other things.
  private @Nullable ByRank byRank;

  private HloEmitter(RankVariants variants, RankGrid ranks, SumOrder order) {
    this.variants = variants;
    this.graph = variants.first();
    this.module = new ModuleBuilder(safe(graph.name()));
    this.emit = module.entry();
    this.primitives = new Primitives(emit, ranks, order);
    this.values = new Hlo[graph.valueCount()];
    names.add(HloModule.IDS);
    names.add(HloModule.RANK);
  }

  /// Returns the module of a graph.
  ///
  /// @param graph what all ranks run, or one of them if the others run the same collectives
  /// @param ranks the ranks that run it together
  /// @param order in which order sums over ranks are added
  /// @throws IllegalArgumentException if two outputs take the memory of one input, or a collective
  ///   cannot be emitted for these ranks
  public static HloModule emit(Graph graph, RankGrid ranks, SumOrder order) {
    return emit(List.of(graph), ranks, order);
  }

  /// Returns the one module of the graphs that ranks run together.
  ///
  /// @param graphs one that all run, or one for each rank; those are alike but for numbers that
  ///   follow from the rank ([#areOneProgram])
  /// @param ranks the ranks
  /// @param order in which order sums over ranks are added
  /// @throws IllegalArgumentException if the graphs differ in more, two outputs take the memory of
  ///   one input, or a collective cannot be emitted for these ranks
  public static HloModule emit(List<Graph> graphs, RankGrid ranks, SumOrder order) {
    graphs.forEach(StoragePlan::requireOneOutputPerInput);
    RankVariants variants = variants(graphs);
    if (variants.areOneProgram() instanceof Support.No(String reason)) {
      throw new IllegalArgumentException(reason);
    }
    return new HloEmitter(variants, ranks, order).emit();
  }

  /// Returns whether graphs of several ranks make one module.
  public static Support areOneProgram(List<Graph> graphs) {
    return variants(graphs).areOneProgram();
  }

  private static RankVariants variants(List<Graph> graphs) {
    return new RankVariants(
        graphs.stream().map(graph -> Decomposition.expand(graph, (_, _) -> false)).toList());
  }

  /// Returns whether a collective can be emitted for these ranks.
  public static Support supports(Primitive collective, RankGrid ranks) {
    return Collectives.supports(collective, ranks);
  }

  private HloModule emit() {
    for (Graph.Named input : graph.inputs()) {
      parameter(input);
    }
    boolean readsRank = variants.differ();
    if (readsRank) {
      byRank = new ByRank(emit, rank());
    }
    List<Node> nodes = graph.nodes();
    for (int i = 0; i < nodes.size(); i++) {
      Node node = nodes.get(i);
      switch (node.op()) {
        case Primitive primitive -> lower(i, primitive, node);
        case Composite composite ->
            throw new IllegalStateException("op was not decomposed: op=" + composite.label());
      }
    }
    emit.from("result", "");
    List<Hlo> results = results();
    if (!tables.isEmpty()) {
      results.add(emit.concat(bounds, 0));
    }
    List<String> written = new ArrayList<>(outputs.stream().map(HloModule.Port::name).toList());
    if (!tables.isEmpty()) {
      written.add(HloModule.IDS);
    }
    long root =
        emit.tuple(
            results,
            proto -> proto.message(68, Schema.attribute(OUTPUT_NAMES, String.join(",", written))));
    byte[] proto = module.finish(root, results.stream().map(Hlo::type).toList());
    boolean hasCollectives =
        nodes.stream().anyMatch(node -> node.op() instanceof Primitive op && op.isCollective());
    return new HloModule(graph.name(), proto, inputs, outputs, tables, readsRank, hasCollectives);
  }

  private Hlo rank() {
    emit.from(HloModule.RANK, "");
    return emit.parameter(
        HloModule.RANK,
        new ValueType(DType.I32, Shape.scalar()),
        proto -> proto.message(68, Schema.attribute(INPUT_NAMES, HloModule.RANK)));
  }

  private void parameter(Graph.Named input) {
    ValueType type = input.value().type();
    if (isEmpty(type)) {
      return;
    }
    HloModule.Port port = port(input);
    emit.from(port.name(), "");
    Hlo parameter =
        emit.parameter(
            port.name(),
            port.type(),
            proto -> proto.message(68, Schema.attribute(INPUT_NAMES, port.name())));
    parameters.put(input.name(), inputs.size());
    inputs.add(port);
    values[input.value().id()] =
        type.dtype() == DType.BOOL ? primitives.truth(parameter) : parameter;
  }

  /// Truth values cross the border of a module as bytes.
  private HloModule.Port port(Graph.Named named) {
    ValueType type = named.value().type();
    DType dtype = type.dtype() == DType.BOOL ? DType.U8 : type.dtype();
    return new HloModule.Port(
        named.name(), unused(safe(named.name())), new ValueType(dtype, type.shape()));
  }

  private void lower(int index, Primitive op, Node node) {
    Value result = node.outputs().getFirst();
    if (isEmpty(result.type())) {
      return;
    }
    String label = op.label();
    emit.from("n" + index + "_" + label, graph.name() + "/" + index + ":" + label);
    List<Hlo> operands = new ArrayList<>();
    for (Value operand : node.inputs()) {
      if (!isEmpty(operand.type())) {
        operands.add(Objects.requireNonNull(values[operand.id()], "values come before their use"));
      }
    }
    boolean isWhole = operands.size() == node.inputs().size();
    if (op.isCollective()
        && Collectives.supports(op, primitives.ranks()) instanceof Support.No(String reason)) {
      throw new IllegalArgumentException(reason + " (graph=" + graph.name() + ")");
    }
    List<Op> ops = variants.ops(index);
    if (byRank != null && ops.size() > 1) {
      values[result.id()] = byRank.lower(ops, operands, result.type());
    } else {
      values[result.id()] =
          isWhole
              ? primitives.lower(op, operands, result.type())
              : primitives.lowerEmpty(op, operands, result.type());
    }
    if (isWhole) {
      checkIds(op, operands);
    }
  }

  /// Notes the least and the greatest id of an op that looks rows up or adds to them.
  private void checkIds(Primitive op, List<Hlo> operands) {
    switch (op) {
      case Primitive.Gather _ -> bound(op, operands.get(1), operands.get(0).shape().dim(0));
      case Primitive.ScatterAdd(long rows, var _) -> bound(op, operands.get(0), rows);
      default -> {}
    }
  }

  private void bound(Primitive op, Hlo ids, long rows) {
    tables.add(new HloModule.Table(op.label(), rows));
    Hlo flat = emit.reshape(ids, Shape.of(ids.shape().elements()));
    bounds.add(emit.reshape(emit.reduce(flat, "minimum", Integer.MAX_VALUE, 0), Shape.of(1)));
    bounds.add(emit.reshape(emit.reduce(flat, "maximum", Integer.MIN_VALUE, 0), Shape.of(1)));
  }

  /// The elements of the root. A parameter that is a result, and a value that is one twice, are
  /// copied: results have memory of their own.
  private List<Hlo> results() {
    List<Hlo> results = new ArrayList<>();
    Set<Hlo> used = new HashSet<>();
    for (Graph.Named input : graph.inputs()) {
      Hlo value = values[input.value().id()];
      if (value != null) {
        used.add(value);
      }
    }
    for (Graph.Named output : graph.outputs()) {
      Hlo value = values[output.value().id()];
      if (value == null) {
        continue;
      }
      HloModule.Port port = port(output);
      Hlo typed = emit.convert(value, port.type().dtype());
      String target = graph.aliases().get(output.name());
      if (target != null) {
        module.alias(results.size(), Objects.requireNonNull(parameters.get(target)));
      }
      results.add(used.add(typed) ? typed : emit.unary("copy", typed));
      outputs.add(port);
    }
    return results;
  }

  private static boolean isEmpty(ValueType type) {
    return type.shape().elements() == 0;
  }

  /// A name of letters, digits, points and underscores.
  private static String safe(String name) {
    StringBuilder safe = new StringBuilder();
    for (int i = 0; i < name.length(); i++) {
      char c = name.charAt(i);
      boolean plain = c < 128 && Character.isLetterOrDigit(c);
      safe.append(plain || c == '.' ? c : '_');
    }
    boolean starts = !safe.isEmpty() && Character.isLetter(safe.charAt(0));
    return (starts ? "" : "v") + safe;
  }

  /// The name with a number behind it where it is taken; ports have names of their own whatever
  /// they are in the graph.
  private String unused(String name) {
    String free = name;
    for (int i = 2; !names.add(free); i++) {
      free = name + "." + i;
    }
    return free;
  }
}
