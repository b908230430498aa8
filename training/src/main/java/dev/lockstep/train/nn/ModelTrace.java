package dev.lockstep.train.nn;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Node;
import dev.lockstep.graph.Op;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.train.autodiff.WayBack;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/// A graph in the making together with the parameters that it uses, in program order.
/// Single-threaded.
public final class ModelTrace {
  /// Input: I32 `[]`, number of the training step from 0; there where something falls out.
  public static final String STEP = "trainingStep";

  /// Input: I32 `[]`, number of the lane; there where something falls out.
  public static final String LANE = "lane";

  /// What the names of outputs start with that are borders of a pipeline, not results.
  public static final String BORDER = "border/";

  private final GraphBuilder builder;
  private final Precision precision;
  private final DropoutPlan dropout;
  private @Nullable Value step;
  private @Nullable Value lane;
  private final List<ParameterUse> uses = new ArrayList<>();
  private final Map<String, Value> values = new LinkedHashMap<>();
  private final Map<Value, Blocks> columns = new HashMap<>();
  private final Set<Value> recomputed = new HashSet<>();
  private final Set<Value> rounded = new HashSet<>();
  private final List<Value> borders = new ArrayList<>();
  private final Map<Value, Double> auxiliaries = new LinkedHashMap<>();

  /// Starts a trace in float32.
  ///
  /// @param name what the graph computes
  public ModelTrace(String name) {
    this(name, Precision.F32);
  }

  /// Starts a trace in which nothing falls out.
  ///
  /// @param name what the graph computes
  public ModelTrace(String name, Precision precision) {
    this(name, precision, DropoutPlan.NONE);
  }

  /// Starts a trace.
  ///
  /// @param name what the graph computes
  public ModelTrace(String name, Precision precision, DropoutPlan dropout) {
    this.builder = new GraphBuilder(name);
    this.precision = precision;
    this.dropout = dropout;
  }

  /// Returns the builder of the graph.
  public GraphBuilder builder() {
    return builder;
  }

  /// Adds a parameter under its own name; a matrix as [#narrowed].
  public Value parameter(Parameter parameter) {
    return use(parameter.name(), parameter, parameter.shape().rank() >= 2);
  }

  /// Adds one more use of a parameter, as the input `name@role`.
  public Value parameter(Parameter parameter, String role) {
    return use(parameter.name() + "@" + role, parameter, parameter.shape().rank() >= 2);
  }

  /// Adds the rows of a table that the ids name, as [#narrowed].
  ///
  /// @param ids I32 `[d…]`
  /// @return `[d…, C]`
  public Value rows(Parameter table, Value ids) {
    Value whole = use(table.name(), table, false);
    return narrowed(one(new Primitive.Gather(), whole, ids));
  }

  /// The gradient of a use is that of what is computed with, which is never rounded.
  private Value use(String inputName, Parameter parameter, boolean narrow) {
    Value input = builder.input(inputName, new ValueType(DType.F32, parameter.shape()));
    uses.add(new ParameterUse(inputName, parameter));
    Value value = narrow ? weight(input) : input;
    values.put(inputName, value);
    return value;
  }

  /// Rounds a weight: nothing of that is kept, as its master is.
  private Value weight(Value master) {
    return precision == Precision.F32 ? master : rounded(master, true);
  }

  /// Rounds a value as the trace's precision says (see [Precision]); what is kept of it for the way
  /// back is the narrow form.
  public Value narrowed(Value value) {
    return precision == Precision.F32 ? value : rounded(value, false);
  }

  /// Lets a value as it is and rounds its gradient as the trace's precision says (see [Precision]).
  public Value narrowedOnTheWayBack(Value value) {
    if (precision != Precision.F32) {
      rounded.add(value);
    }
    return value;
  }

  private Value rounded(Value value, boolean again) {
    Value narrow = one(new Primitive.Convert(DType.BF16), value);
    Value wide = one(new Primitive.Convert(DType.F32), narrow);
    recomputed.add(wide);
    if (again) {
      recomputed.add(narrow);
    }
    return wide;
  }

  /// Lets elements of a value fall out, as the trace's plan says.
  ///
  /// @param place number of the place in the model; another place, other elements
  public Value dropout(Value x, int place) {
    if (dropout.rate() == 0) {
      return x;
    }
    Value ofStep = step == null ? builder.input(STEP, ValueType.i32()) : step;
    Value ofLane = lane == null ? builder.input(LANE, ValueType.i32()) : lane;
    step = ofStep;
    lane = ofLane;
    Primitive.Part all = Primitive.Part.all(x.type().shape());
    Primitive.Uniform random = new Primitive.Uniform(all, dropout.seed(), place);
    return one(new Composite.Dropout(dropout.rate(), random), x, ofStep, ofLane);
  }

  /// Adds a node of one result.
  public Value one(Op op, Value... operands) {
    return builder.one(op, operands);
  }

  /// Adds a node of several results.
  public List<Value> all(Op op, Value... operands) {
    return builder.apply(op, List.of(operands));
  }

  /// Notes how tensor parallelism may split the columns of a product with `weight`, and so the sum
  /// that is the gradient of the product's input.
  public void splitColumns(Value weight, Blocks blocks) {
    columns.put(weight, blocks);
  }

  /// Returns for the weights whose columns may be split how; what is missing has one block.
  public Map<Value, Blocks> columns() {
    return Map.copyOf(columns);
  }

  /// Notes that a pipeline may be cut behind `value`: what follows reads nothing else that was made
  /// before it.
  public void border(Value value) {
    borders.add(value);
  }

  /// Returns the values behind which a pipeline may be cut, in program order.
  public List<Value> borders() {
    return List.copyOf(borders);
  }

  /// Notes a number that training makes small beside the loss: `weight` times it counts as a part
  /// of the sum of the lane's losses. The loss that is reported does not have it.
  ///
  /// @param value F32 `[]`
  public void auxiliary(Value value, double weight) {
    auxiliaries.put(value, weight);
  }

  /// Returns the weights of what is made small beside the loss, in program order.
  public Map<Value, Double> auxiliaries() {
    return Collections.unmodifiableMap(auxiliaries);
  }

  /// Adds what `part` adds, to be computed again on the way back: its values but the returned one
  /// are not kept.
  public Value recomputed(Supplier<Value> part) {
    int before = builder.build().nodes().size();
    Value result = part.get();
    List<Node> nodes = builder.build().nodes();
    for (Node node : nodes.subList(before, nodes.size())) {
      recomputed.addAll(node.outputs());
    }
    recomputed.remove(result);
    return result;
  }

  /// Returns what is computed again on the way back, and what is rounded there.
  @SuppressWarnings("exports") // for this module alone, which differentiates
  public WayBack wayBack() {
    return new WayBack(recomputed, rounded);
  }

  /// Returns the uses so far, in program order.
  public List<ParameterUse> uses() {
    return List.copyOf(uses);
  }

  /// Returns what the gradients of [#uses] are taken of, by the names of their inputs and in order.
  public Map<String, Value> useValues() {
    return Collections.unmodifiableMap(values);
  }
}
