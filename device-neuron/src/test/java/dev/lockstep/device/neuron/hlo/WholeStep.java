package dev.lockstep.device.neuron.hlo;

import dev.lockstep.graph.Graph;
import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.tensor.Philox;
import dev.lockstep.train.model.LanguageModel;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.ModelShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.DropoutPlan;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.nn.Precision;
import dev.lockstep.train.optim.AdamWOptions;
import dev.lockstep.train.optim.StepGraph;
import dev.lockstep.train.optim.StepPlace;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/// A training step of a model as two programs, a lane's and the step's, with what goes in and what
/// the float64 reference makes of it. Every replica has a lane.
final class WholeStep {
  private static final int SEQUENCES = 2;
  private static final int TOKEN_BLOCKS = 2;
  private static final int TENSOR_BLOCKS = 4;

  private final int lanes;
  private final ModelPrograms.Traced lane;
  private final Map<String, double[]> weights = new LinkedHashMap<>();
  private final Map<String, double[]> state = new LinkedHashMap<>();
  private final List<Map<String, double[]>> laneInputs = new ArrayList<>();

  WholeStep(ModelShape shape, Precision precision, float dropout, int lanes) {
    this.lanes = lanes;
    LanguageModel model = shape.model(TENSOR_BLOCKS);
    DropoutPlan plan = dropout == 0 ? DropoutPlan.NONE : new DropoutPlan(dropout, 5);
    lane = new ModelPrograms(model, TOKEN_BLOCKS, Recompute.NONE, precision, plan).lane(SEQUENCES);
    for (Parameter parameter : model.parameters()) {
      double[] elements = initial(parameter);
      weights.put(parameter.name(), elements);
      state.put(parameter.name(), elements);
      state.put(StepGraph.FIRST_MOMENT + parameter.name(), normal(parameter, "m", 1e-3));
      state.put(StepGraph.SECOND_MOMENT + parameter.name(), squares(normal(parameter, "v", 1)));
    }
    state.put(StepGraph.LEARNING_RATE, new double[] {1e-3f});
    state.put(StepGraph.STEP, new double[] {7});
    SplittableRandom random = new SplittableRandom(3);
    for (int i = 0; i < lanes; i++) {
      laneInputs.add(laneInputs(shape, random, i));
    }
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
    for (ParameterUse use : lane.uses()) {
      inputs.put(use.inputName(), weights.get(use.parameter().name()));
    }
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

  Graph lane() {
    return lane.graph();
  }

  /// For each lane what goes into it.
  List<Map<String, double[]>> laneInputs() {
    return laneInputs;
  }

  /// The step program of a rank among `ranks`.
  Graph step(int ranks) {
    StepPlace place = StepPlace.of(LaneSplit.contiguous(lanes, ranks), 0);
    return StepGraph.trace(lane.uses(), AdamWOptions.defaults(), place);
  }

  /// What goes into the step program of a rank that holds these sums.
  Map<String, double[]> stepInputs(Map<String, double[]> sums) {
    Map<String, double[]> inputs = new HashMap<>(state);
    sums.forEach((name, sum) -> inputs.put(StepGraph.subtreeInput(name, 0), sum));
    inputs.put(StepGraph.subtreeInput(StepGraph.STOP, 0), new double[] {0});
    return inputs;
  }

  /// What the reference makes of each lane.
  List<Map<String, double[]>> expectedLanes() {
    return laneInputs.stream().map(inputs -> reference(lane(), inputs)).toList();
  }

  /// What the reference makes of the step, its lanes summed plainly.
  Map<String, double[]> expectedStep(List<Map<String, double[]>> laneOutputs) {
    Map<String, double[]> sums = new HashMap<>();
    for (Map<String, double[]> outputs : laneOutputs) {
      outputs.forEach(
          (name, elements) -> sums.merge(name, elements.clone(), (sum, more) -> added(sum, more)));
    }
    return reference(step(1), stepInputs(sums));
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
