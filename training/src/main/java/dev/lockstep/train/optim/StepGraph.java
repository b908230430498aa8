package dev.lockstep.train.optim;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.placement.AxisPlace;
import dev.lockstep.train.placement.Slices;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The step program: what follows once a rank has summed its lanes. The ranks' sums are joined, the
/// uses of a tied weight added in program order, the mean gradient clipped by its global norm, and
/// parameters and moments updated in place.
///
/// Inputs, for each subtree `i` of lanes that the rank holds: `gradient/use#i` the gradient of a
/// parameter's use, [#LOSS_SUM]`#i`, [#COUNT]`#i` and [#STOP]`#i`; then the parameters, `m/name`
/// and `v/name` their moments, [#LEARNING_RATE] and [#STEP]. Outputs: [#LOSS], [#GRADIENT_NORM],
/// [#STOPPED], and each parameter and moment into its input.
public final class StepGraph {
  /// Sum of the losses of a subtree's tokens.
  public static final String LOSS_SUM = "lossSum";

  /// Number of a subtree's tokens.
  public static final String COUNT = "count";

  /// 1 where a rank asks all to stop after this step, else 0.
  public static final String STOP = "stop";

  /// Learning rate of the step.
  public static final String LEARNING_RATE = "learningRate";

  /// Number of the step, from 1.
  public static final String STEP = "step";

  /// Input, where parameters are split: which of the gathered leaves of the norm's tree stands
  /// where, [NormLeaves#order].
  public static final String LEAF_ORDER = "leafOrder";

  /// Mean loss of the step's tokens, in nats.
  public static final String LOSS = "loss";

  /// Global norm of the mean gradient, before it is clipped.
  public static final String GRADIENT_NORM = "gradientNorm";

  /// Above 0 if a rank asked to stop.
  public static final String STOPPED = "stopped";

  /// Prefix of the first moment of a parameter.
  public static final String FIRST_MOMENT = "m/";

  /// Prefix of the second moment of a parameter.
  public static final String SECOND_MOMENT = "v/";

  /// The mesh axis that lanes are spread over.
  public static final String AXIS = "dp";

  // As in PyTorch's clip_grad_norm_: keeps the quotient finite where the gradient vanishes.
  private static final double NORM_FLOOR = 1e-6;

  private static final ValueType SCALAR = ValueType.f32();

  private final GraphBuilder builder = new GraphBuilder("step");
  private final StepPlace place;
  private final int held;

  private StepGraph(StepPlace place) {
    this.place = place;
    this.held = place.lanes().ranks().get(place.rank()).size();
  }

  /// Traces the step program of one rank.
  ///
  /// @param uses the uses of all parameters, in program order
  /// @param place the rank
  public static Graph trace(List<ParameterUse> uses, AdamWOptions options, StepPlace place) {
    return trace(uses, options, place, false);
  }

  /// Traces the step program of one rank.
  ///
  /// @param uses the uses of all parameters, in program order
  /// @param place the rank
  /// @param isReduced whether gradients come as sums over all lanes, as inputs `gradient/use`
  public static Graph trace(
      List<ParameterUse> uses, AdamWOptions options, StepPlace place, boolean isReduced) {
    return new StepGraph(place).build(uses, options, isReduced);
  }

  /// Traces the program that joins the ranks' [#LOSS_SUM] and [#COUNT] and divides them: [#LOSS].
  public static Graph meanLoss(LaneSplit lanes, int rank) {
    StepGraph graph = new StepGraph(StepPlace.of(lanes, rank));
    Value lossSum = graph.joined(LOSS_SUM, SCALAR);
    Value count = graph.joined(COUNT, SCALAR);
    graph.builder.output(LOSS, graph.builder.one(new Primitive.Div(), lossSum, count));
    return graph.builder.build();
  }

  /// Traces what [#meanLoss(LaneSplit, int)] does for a stage of a pipeline, of which the last one
  /// has the losses.
  public static Graph meanLoss(StepPlace place) {
    StepGraph graph = new StepGraph(place);
    GraphBuilder builder = graph.builder;
    StagePlace stage = graph.stage();
    Value own = graph.constant(0);
    if (stage.isLast()) {
      Value lossSum = graph.joined(LOSS_SUM, SCALAR);
      Value count = graph.joined(COUNT, SCALAR);
      own = builder.one(new Primitive.Div(), lossSum, count);
    }
    int stages = stage.axis().ranks();
    Value all =
        builder.one(new Primitive.AllGather(stage.axis().name(), stages, 0), graph.one(own));
    builder.output(LOSS, graph.scalar(graph.at(all, stages - 1)));
    return builder.build();
  }

  /// Returns the input that holds subtree `index` of what is called `name`.
  public static String subtreeInput(String name, int index) {
    return name + "#" + index;
  }

  /// Traces the step program of a rank that updates a shard of the state. Its inputs are sums over
  /// all lanes: for each piece of the shard and each use of its parameter [#pieceInput],
  /// [#LOSS_SUM] and [#COUNT] where it computes the loss; then [#STOP]`#0`, and the parameters and
  /// moments of the pieces, each as a vector.
  ///
  /// @param leaves how the state is cut, on every stage
  /// @param uses how often each parameter is used
  /// @param place the rank; one lane per place on the data axis
  public static Graph traceShard(
      NormLeaves leaves, Map<Parameter, Integer> uses, AdamWOptions options, StepPlace place) {
    return new StepGraph(place).buildShard(leaves, uses, options);
  }

  /// Returns the input that holds the gradient of one use of a piece's parameter.
  public static String pieceInput(Parameter parameter, int use) {
    return "gradient/" + parameter.name() + "#use" + use;
  }

  private Graph buildShard(NormLeaves leaves, Map<Parameter, Integer> uses, AdamWOptions options) {
    StateShards shards = leaves.shards();
    Map<Parameter, Value> gradients = new LinkedHashMap<>();
    for (StateShards.Piece piece : shards.pieces(place.rank())) {
      Parameter parameter = piece.parameter();
      ValueType type = ValueType.f32(piece.elements());
      for (int use = 0; use < uses.getOrDefault(parameter, 1); use++) {
        Value gradient = builder.input(pieceInput(parameter, use), type);
        gradients.merge(
            parameter, gradient, (first, next) -> builder.one(new Primitive.Add(), first, next));
      }
    }
    gradients.replaceAll(this::overEnds);
    boolean hasLoss = !place.isStaged() || stage().isLast();
    Value lossSum = hasLoss ? builder.input(LOSS_SUM, SCALAR) : constant(0);
    Value count = hasLoss ? builder.input(COUNT, SCALAR) : constant(0);
    Value stopped = joined(STOP, SCALAR);
    Totals totals = new Totals(lossSum, count, overOtherAxes(stopped));
    Norm norm =
        gatheredSquares(
            leaves, shards.ranks(), place.rank(), List.copyOf(gradients.values()), totals);
    return finish(gradients, norm, options);
  }

  private Graph build(List<ParameterUse> uses, AdamWOptions options, boolean isReduced) {
    // All that the ranks join stands side by side, so that it becomes one bucket.
    List<Value> joined = new ArrayList<>();
    for (ParameterUse use : uses) {
      ValueType type = localType(use.parameter());
      joined.add(
          isReduced ? builder.input(use.gradientName(), type) : joined(use.gradientName(), type));
    }
    Totals totals = totals();
    Map<Parameter, Value> gradients = new LinkedHashMap<>();
    for (int i = 0; i < uses.size(); i++) {
      gradients.merge(
          uses.get(i).parameter(),
          joined.get(i),
          (first, next) -> builder.one(new Primitive.Add(), first, next));
    }
    gradients.replaceAll(this::overEnds);
    totals = totals.withStopped(overOtherAxes(totals.stopped));
    return finish(gradients, squares(gradients, totals), options);
  }

  /// Sums over all lanes.
  private record Totals(Value lossSum, Value count, Value stopped) {
    Totals withStopped(Value other) {
      return new Totals(lossSum, count, other);
    }
  }

  /// The sum of all squares, and the sums over all lanes.
  private record Norm(Value squares, Totals totals) {}

  private Totals totals() {
    if (place.isStaged() && !stage().isLast()) {
      return new Totals(constant(0), constant(0), joined(STOP, SCALAR));
    }
    return new Totals(joined(LOSS_SUM, SCALAR), joined(COUNT, SCALAR), joined(STOP, SCALAR));
  }

  private Graph finish(Map<Parameter, Value> gradients, Norm norm, AdamWOptions options) {
    Totals totals = norm.totals;
    // Outputs are bound one by one, results of collectives side by side: this is not one of them.
    builder.output(STOPPED, builder.one(new Primitive.Add(), totals.stopped, constant(0)));
    builder.output(LOSS, builder.one(new Primitive.Div(), totals.lossSum, totals.count));
    Value mean = meanNorm(norm.squares, totals.count);
    builder.output(GRADIENT_NORM, mean);
    update(gradients, options, gradientScale(mean, totals.count, options.clip()));
    return builder.build();
  }

  private StagePlace stage() {
    StagePlace stage = place.stage();
    if (stage == null) {
      throw new IllegalStateException("rank holds all layers: place=" + place);
    }
    return stage;
  }

  /// The gradient of a weight that the first and the last stage use: the sum of their uses.
  private Value overEnds(Parameter parameter, Value gradient) {
    if (!place.isStaged() || !stage().isShared(parameter)) {
      return gradient;
    }
    return builder.one(
        new Primitive.AllReduce(StagePlace.ENDS, new ReduceOp.Sum(), LaneSplit.onePerRank(2)),
        gradient);
  }

  /// The sum over all lanes of what each rank holds as subtrees.
  private Value joined(String name, ValueType type) {
    List<Value> subtrees = new ArrayList<>();
    for (int i = 0; i < held; i++) {
      subtrees.add(builder.input(subtreeInput(name, i), type));
    }
    if (place.lanes().ranks().size() == 1) {
      return subtrees.getFirst();
    }
    Primitive.AllReduce reduce = new Primitive.AllReduce(AXIS, new ReduceOp.Sum(), place.lanes());
    return builder.apply(reduce, subtrees).getFirst();
  }

  private boolean isSplit() {
    return place.model().isSplit();
  }

  private ValueType localType(Parameter parameter) {
    return new ValueType(DType.F32, place.localShape(parameter));
  }

  /// How many ranks of other axes than that of the lanes wish so too.
  private Value overOtherAxes(Value wish) {
    Value all = wish;
    for (AxisPlace axis :
        List.of(place.context(), place.model().expert(), place.model().tensor())) {
      if (axis.ranks() > 1) {
        LaneSplit each = LaneSplit.onePerRank(axis.ranks());
        all = builder.one(new Primitive.AllReduce(axis.name(), new ReduceOp.Sum(), each), all);
      }
    }
    return all;
  }

  private Norm squares(Map<Parameter, Value> gradients, Totals totals) {
    List<Parameter> parameters = List.copyOf(gradients.keySet());
    List<Value> values = List.copyOf(gradients.values());
    if (place.isStaged()) {
      return gatheredSquares(leaves(place), 1, 0, values, totals);
    }
    if (!isSplit()) {
      List<Composite.Split> splits = parameters.stream().map(Parameter::split).toList();
      return new Norm(builder.apply(new Composite.SquaredNorm(splits), values).getFirst(), totals);
    }
    NormLeaves leaves = new NormLeaves(StateShards.whole(parameters, place));
    return gatheredSquares(leaves, 1, 0, values, totals);
  }

  /// Returns the leaves of the norm where layers are spread over stages and no state is sharded.
  public static NormLeaves leaves(StepPlace place) {
    StagePlace stage = place.stage();
    if (stage == null) {
      throw new IllegalArgumentException("rank holds all layers: place=" + place);
    }
    List<StateShards> stages =
        stage.parameters().stream().map(held -> StateShards.whole(held, place)).toList();
    return new NormLeaves(stages, stage.all(), stage.axis().rank());
  }

  /// The sum of all squares, its leaves gathered from the ranks that have them. Where there are
  /// stages each contributes its part of the sums over lanes too.
  private Norm gatheredSquares(
      NormLeaves leaves, int shards, int rank, List<Value> gradients, Totals totals) {
    Value gathered = leaves.add(builder, rank, gradients);
    if (shards > 1) {
      gathered = builder.one(new Primitive.AllGather(AXIS, shards, 0), gathered);
    }
    for (AxisPlace axis : List.of(place.model().tensor(), place.model().expert())) {
      if (axis.ranks() > 1) {
        gathered = builder.one(new Primitive.AllGather(axis.name(), axis.ranks(), 0), gathered);
      }
    }
    Totals all = totals;
    if (place.isStaged()) {
      AxisPlace axis = stage().axis();
      Value own =
          builder
              .apply(
                  new Primitive.Concat(0),
                  List.of(gathered, one(totals.lossSum), one(totals.count), one(totals.stopped)))
              .getFirst();
      gathered = builder.one(new Primitive.AllGather(axis.name(), axis.ranks(), 0), own);
      all = ofStages(gathered, leaves.stageLength());
    }
    int count = leaves.order().length;
    Value order = builder.input(LEAF_ORDER, ValueType.i32(count));
    Value sorted = builder.one(new Primitive.Gather(), gathered, order);
    Value squares = builder.one(new Primitive.ReduceSum(List.of(0), new Blocks(1, count)), sorted);
    return new Norm(squares, all);
  }

  private Value one(Value scalar) {
    return builder.one(new Primitive.Reshape(Shape.of(1)), scalar);
  }

  /// Loss and count are the last stage's; any stage may wish to stop.
  private Totals ofStages(Value gathered, int length) {
    int stages = stage().axis().ranks();
    List<Value> wishes = new ArrayList<>();
    for (int each = 1; each <= stages; each++) {
      wishes.add(at(gathered, each * length - 1));
    }
    Value wish = builder.apply(new Primitive.Concat(0), wishes).getFirst();
    Value stopped = builder.one(new Primitive.ReduceSum(List.of(0), new Blocks(1, stages)), wish);
    int first = stages * length - NormLeaves.STAGE_NUMBERS;
    return new Totals(scalar(at(gathered, first)), scalar(at(gathered, first + 1)), stopped);
  }

  private Value at(Value gathered, int index) {
    return builder.one(Slices.along(gathered.type().shape(), 0, index, index + 1), gathered);
  }

  private Value scalar(Value one) {
    return builder.one(new Primitive.Reshape(Shape.scalar()), one);
  }

  private Value meanNorm(Value squares, Value count) {
    return builder.one(new Primitive.Div(), builder.one(new Primitive.Sqrt(), squares), count);
  }

  /// What summed gradients are multiplied by: `min(1, clip / (norm + floor)) / count`.
  private Value gradientScale(Value norm, Value count, float clip) {
    Value shifted = builder.one(new Primitive.Add(), norm, constant(NORM_FLOOR));
    Value wanted = builder.one(new Primitive.Div(), constant(clip), shifted);
    Value clipped = builder.one(new Primitive.Min(), wanted, constant(1));
    return builder.one(new Primitive.Div(), clipped, count);
  }

  private Value constant(double value) {
    return builder.one(new Primitive.Constant(SCALAR, value));
  }

  private void update(Map<Parameter, Value> gradients, AdamWOptions options, Value scale) {
    Value learningRate = builder.input(LEARNING_RATE, SCALAR);
    Value step = builder.input(STEP, SCALAR);
    for (Map.Entry<Parameter, Value> entry : gradients.entrySet()) {
      Parameter parameter = entry.getKey();
      ValueType type = entry.getValue().type();
      List<String> state =
          List.of(
              parameter.name(), FIRST_MOMENT + parameter.name(), SECOND_MOMENT + parameter.name());
      List<Value> before = state.stream().map(name -> builder.input(name, type)).toList();
      List<Value> after =
          builder.apply(
              new Composite.AdamW(
                  options.beta1(),
                  options.beta2(),
                  options.epsilon(),
                  parameter.decays() ? options.weightDecay() : 0),
              List.of(
                  before.get(0),
                  entry.getValue(),
                  before.get(1),
                  before.get(2),
                  learningRate,
                  step,
                  scale));
      for (int i = 0; i < state.size(); i++) {
        builder.outputInto("new " + state.get(i), after.get(i), state.get(i));
      }
    }
  }
}
