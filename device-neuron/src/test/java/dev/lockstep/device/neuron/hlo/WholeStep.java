package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.RankGrid;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.tensor.Philox;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.Layout;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.Recipe.BatchShape;
import dev.lockstep.train.Recipe.SumBlocks;
import dev.lockstep.train.RunGraphs;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.model.LanguageModel;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.nn.Precision;
import dev.lockstep.train.optim.NormLeaves;
import dev.lockstep.train.optim.StateShards;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import dev.lockstep.train.placement.AxisPlace;
import dev.lockstep.train.placement.ModelPlace;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/// A training step of a model over a layout as two programs, a lane's and the step's, with what
/// goes into each rank and what the float64 reference makes of the whole on one. Every place of the
/// data axis has a lane.
final class WholeStep {
  private static final int SEQUENCES = 2;
  private static final SumBlocks BLOCKS = new SumBlocks(4, 2);

  private final LanguageModel model;
  private final List<ParameterUse> uses;
  private final RunGraphs.Group spread;
  private final RunGraphs.Group whole;
  private final int lanes;
  private final int contextRanks;
  private final List<Integer> laneOf = new ArrayList<>();
  private final List<ModelPlace> models = new ArrayList<>();
  private final Map<String, double[]> weights = new LinkedHashMap<>();
  private final Map<String, double[]> state = new LinkedHashMap<>();
  private final List<Map<String, double[]>> laneInputs = new ArrayList<>();

  WholeStep(ModelShape shape, Precision precision, float dropout, Layout layout) {
    int ranks = layout.places();
    lanes = layout.size(Layout.DATA, ranks);
    contextRanks = layout.size(Layout.CONTEXT, ranks);
    Recipe recipe =
        Recipe.defaults()
            .withModel(shape)
            .withBatch(BatchShape.of(lanes, SEQUENCES))
            .withBlocks(BLOCKS)
            .withPrecision(precision)
            .withDropout(dropout);
    TrainerOptions options = TrainerOptions.defaults();
    spread = RunGraphs.of(recipe, options.withLayout(layout), ranks).getFirst();
    whole = RunGraphs.of(recipe, options, 1).getFirst();
    model = shape.model(BLOCKS.tensor());
    uses = new ModelPrograms(model, BLOCKS.tokens()).lane(SEQUENCES).uses();
    for (int rank = 0; rank < ranks; rank++) {
      laneOf.add(place(layout, Layout.DATA, rank).rank());
      models.add(
          new ModelPlace(place(layout, Layout.EXPERT, rank), place(layout, Layout.TENSOR, rank)));
    }
    for (Parameter parameter : model.parameters()) {
      double[] elements = initial(parameter);
      weights.put(parameter.name(), elements);
      state.put(parameter.name(), elements);
      state.put(StepGraph.FIRST_MOMENT + parameter.name(), normal(parameter, "m", 1e-3));
      state.put(StepGraph.SECOND_MOMENT + parameter.name(), squares(normal(parameter, "v", 1)));
    }
    SplittableRandom random = new SplittableRandom(3);
    for (int i = 0; i < lanes; i++) {
      laneInputs.add(laneInputs(shape, random, i));
    }
  }

  private static AxisPlace place(Layout layout, String axis, int rank) {
    int stride = 1;
    for (var each : layout.axes().reversed()) {
      if (each.name().equals(axis)) {
        return new AxisPlace(axis, each.size(), rank / stride % each.size());
      }
      stride *= each.size();
    }
    return new AxisPlace(axis, 1, 0);
  }

  private static double[] initial(Parameter parameter) {
    float[] elements = new float[(int) parameter.shape().elements()];
    parameter.initialize(1, MemorySegment.ofArray(elements));
    double[] wide = new double[elements.length];
    for (int i = 0; i < wide.length; i++) {
      wide[i] = elements[i];
    }
    return wide;
  }

  private static double[] normal(Parameter parameter, String kind, double deviation) {
    double[] elements = new double[(int) parameter.shape().elements()];
    long stream = Philox.stream(kind + parameter.name());
    for (int i = 0; i < elements.length; i++) {
      elements[i] = (float) (deviation * Philox.normal(2, stream, i));
    }
    return elements;
  }

  private static double[] squares(double[] numbers) {
    double[] squares = new double[numbers.length];
    for (int i = 0; i < squares.length; i++) {
      squares[i] = (float) (0.01 + numbers[i] * numbers[i]);
    }
    return squares;
  }

  private Map<String, double[]> laneInputs(ModelShape shape, SplittableRandom random, int number) {
    Map<String, double[]> inputs = new HashMap<>();
    int size = SEQUENCES * shape.context();
    for (String name : List.of(ModelPrograms.TOKENS, ModelPrograms.TARGETS)) {
      double[] ids = new double[size];
      for (int i = 0; i < size; i++) {
        ids[i] = random.nextInt(shape.vocabulary());
      }
      inputs.put(name, ids);
    }
    inputs.put(ModelTrace.STEP, new double[] {7});
    inputs.put(ModelTrace.LANE, new double[] {number});
    return inputs;
  }

  /// The ranks of the layout.
  RankGrid ranks() {
    return spread.ranks();
  }

  /// A program of the layout: `lane`, `step`.
  List<Graph> graphs(String program) {
    return graphs(spread, program);
  }

  /// The modules of a program as devices compile them: each rank's of its own graph.
  List<Emitted> ofEachRank(String program, SumOrder order) {
    List<Graph> graphs = graphs(program);
    return IntStream.range(0, laneOf.size())
        .mapToObj(rank -> graphs.get(graphs.size() == 1 ? 0 : rank))
        .map(graph -> Emitted.of(graph, ranks(), order))
        .toList();
  }

  private static List<Graph> graphs(RunGraphs.Group group, String program) {
    List<Graph> found = group.graphs().get(program);
    if (found == null) {
      throw new IllegalArgumentException("there is no such program: " + program);
    }
    return found;
  }

  /// What goes into a rank's lane.
  List<Map<String, double[]>> laneInputs() {
    List<Map<String, double[]>> all = new ArrayList<>();
    for (int rank = 0; rank < laneOf.size(); rank++) {
      Map<String, double[]> inputs = new HashMap<>(laneInputs.get(laneOf.get(rank)));
      for (ParameterUse use : uses) {
        double[] elements = weights.getOrDefault(use.parameter().name(), new double[0]);
        inputs.put(use.inputName(), part(use.parameter(), elements, rank));
      }
      all.add(inputs);
    }
    return all;
  }

  /// What goes into a rank's step program.
  ///
  /// @param sums what its lane made
  Map<String, double[]> stepInputs(int rank, Map<String, double[]> sums) {
    Map<String, double[]> inputs = new HashMap<>();
    sums.forEach((name, sum) -> inputs.put(StepGraph.subtreeInput(name, 0), sum));
    inputs.putAll(parts(state, rank));
    addScalars(inputs);
    addLeafOrder(StateShards.whole(parameters(), place(rank)), inputs);
    return inputs;
  }

  private StepPlace place(int rank) {
    return new StepPlace(
        LaneSplit.contiguous(lanes, lanes),
        laneOf.get(rank),
        models.get(rank),
        null,
        new AxisPlace(Layout.CONTEXT, contextRanks, 0));
  }

  private List<Parameter> parameters() {
    return uses.stream().map(ParameterUse::parameter).distinct().toList();
  }

  private static void addLeafOrder(StateShards shards, Map<String, double[]> inputs) {
    int[] order = new NormLeaves(shards).order();
    double[] leaves = new double[order.length];
    for (int i = 0; i < leaves.length; i++) {
      leaves[i] = order[i];
    }
    inputs.put(StepGraph.LEAF_ORDER, leaves);
  }

  private StateShards shards(int rank) {
    return StateShards.cut(List.of(parameters()), Set.of(), place(rank), lanes);
  }

  /// What goes into the step program of a rank that updates a shard of the state (ZeRO 1).
  ///
  /// @param laneOutputs what each lane made
  Map<String, double[]> shardInputs(int rank, List<Map<String, double[]>> laneOutputs) {
    StateShards shards = shards(rank);
    Map<String, double[]> added = new HashMap<>(state);
    for (Map<String, double[]> outputs : laneOutputs) {
      outputs.forEach((name, each) -> added.merge(name, each.clone(), WholeStep::added));
    }
    Map<String, double[]> sums = parts(added, rank);
    Map<String, double[]> inputs = new HashMap<>();
    inputs.put(StepGraph.LOSS_SUM, sums.getOrDefault(StepGraph.LOSS_SUM, new double[0]));
    inputs.put(StepGraph.COUNT, sums.getOrDefault(StepGraph.COUNT, new double[0]));
    addScalars(inputs);
    addLeafOrder(shards, inputs);
    for (StateShards.Piece piece : shards.pieces(laneOf.get(rank))) {
      int use = 0;
      for (ParameterUse each : uses) {
        if (each.parameter().equals(piece.parameter())) {
          double[] whole = sums.getOrDefault(each.gradientName(), new double[0]);
          inputs.put(StepGraph.pieceInput(piece.parameter(), use++), cut(whole, piece));
        }
      }
      for (String prefix : List.of("", StepGraph.FIRST_MOMENT, StepGraph.SECOND_MOMENT)) {
        String name = prefix + piece.parameter().name();
        inputs.put(name, cut(sums.getOrDefault(name, new double[0]), piece));
      }
    }
    return inputs;
  }

  /// A rank's shard of what the step makes.
  Map<String, double[]> shardOf(int rank, Map<String, double[]> step) {
    Map<String, double[]> own = parts(step, rank);
    Map<String, double[]> shard = new HashMap<>();
    for (StateShards.Piece piece : shards(rank).pieces(laneOf.get(rank))) {
      for (String prefix : List.of("", StepGraph.FIRST_MOMENT, StepGraph.SECOND_MOMENT)) {
        String name = "new " + prefix + piece.parameter().name();
        shard.put(name, cut(own.getOrDefault(name, new double[0]), piece));
      }
    }
    for (String name : List.of(StepGraph.LOSS, StepGraph.GRADIENT_NORM)) {
      shard.put(name, step.getOrDefault(name, new double[0]));
    }
    return shard;
  }

  private static double[] cut(double[] whole, StateShards.Piece piece) {
    return Arrays.copyOfRange(whole, (int) piece.start(), (int) piece.end());
  }

  private static void addScalars(Map<String, double[]> inputs) {
    inputs.put(StepGraph.LEARNING_RATE, new double[] {1e-3f});
    inputs.put(StepGraph.STEP, new double[] {7});
    inputs.put(StepGraph.subtreeInput(StepGraph.STOP, 0), new double[] {0});
  }

  /// What the reference makes of each lane on one rank.
  List<Map<String, double[]>> expectedLanes() {
    List<Map<String, double[]>> expected = new ArrayList<>();
    for (Map<String, double[]> lane : laneInputs) {
      Map<String, double[]> inputs = new HashMap<>(lane);
      uses.forEach(
          use ->
              inputs.put(
                  use.inputName(), weights.getOrDefault(use.parameter().name(), new double[0])));
      expected.add(reference(graphs(whole, "lane").getFirst(), inputs));
    }
    return expected;
  }

  /// What the reference makes of the step on one rank, the lanes summed plainly.
  Map<String, double[]> expectedStep(List<Map<String, double[]>> laneOutputs) {
    Map<String, double[]> inputs = new HashMap<>(state);
    for (Map<String, double[]> outputs : laneOutputs) {
      outputs.forEach(
          (name, elements) ->
              inputs.merge(StepGraph.subtreeInput(name, 0), elements.clone(), WholeStep::added));
    }
    addScalars(inputs);
    return reference(graphs(whole, "step").getFirst(), inputs);
  }

  /// A rank's parts of what its lane makes.
  Map<String, double[]> laneOf(int rank, List<Map<String, double[]>> lanesOfOneRank) {
    return parts(lanesOfOneRank.get(laneOf.get(rank)), rank);
  }

  /// A rank's parts of values that are called after parameters or their uses; all of others.
  Map<String, double[]> parts(Map<String, double[]> values, int rank) {
    Map<String, Parameter> named = new HashMap<>();
    uses.forEach(use -> named.put(use.gradientName(), use.parameter()));
    for (Parameter parameter : model.parameters()) {
      for (String prefix : List.of("", StepGraph.FIRST_MOMENT, StepGraph.SECOND_MOMENT)) {
        named.put(prefix + parameter.name(), parameter);
        named.put("new " + prefix + parameter.name(), parameter);
      }
    }
    Map<String, double[]> parts = new LinkedHashMap<>();
    values.forEach(
        (name, elements) -> {
          Parameter parameter = named.get(name);
          parts.put(name, parameter == null ? elements : part(parameter, elements, rank));
        });
    return parts;
  }

  /// What a rank holds: of each outer slice its range of the split dimension.
  private double[] part(Parameter parameter, double[] whole, int rank) {
    Split split = parameter.split();
    AxisPlace place = models.get(rank).of(parameter);
    if (place.ranks() == 1 || split.equals(Split.NONE)) {
      return whole;
    }
    Shape shape = parameter.shape();
    int after = 1;
    for (int dim = split.dim() + 1; dim < shape.rank(); dim++) {
      after *= (int) shape.dim(dim);
    }
    int slice = (int) (shape.dim(split.dim()) / split.blocks().outer()) * after;
    int held = slice / place.ranks();
    double[] part = new double[whole.length / place.ranks()];
    for (int i = 0; i * held < part.length; i++) {
      System.arraycopy(whole, i * slice + place.rank() * held, part, i * held, held);
    }
    return part;
  }

  private static double[] added(double[] sum, double[] more) {
    for (int i = 0; i < sum.length; i++) {
      sum[i] += more[i];
    }
    return sum;
  }

  private static Map<String, double[]> reference(Graph graph, Map<String, double[]> inputs) {
    Map<String, double[]> outputs = new LinkedHashMap<>();
    List<double[]> results = ReferenceInterpreter.run(graph, inputs);
    for (int i = 0; i < results.size(); i++) {
      outputs.put(graph.outputs().get(i).name(), results.get(i));
    }
    return outputs;
  }
}
