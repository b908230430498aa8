package dev.lockstep.train.autodiff;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.Composite.CrossEntropy;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Add;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.Primitive.Mul;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.graph.Value;
import dev.lockstep.graph.ValueType;
import dev.lockstep.train.model.ModelPrograms;
import dev.lockstep.train.model.MoeModel;
import dev.lockstep.train.model.MoeShape;
import dev.lockstep.train.model.Recompute;
import dev.lockstep.train.nn.DropoutPlan;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.ParameterUse;
import dev.lockstep.train.nn.Precision;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.Test;

/// A whole model with routed experts, its balance loss included, against central differences.
class ExpertGradientTest {
  private static final int SEQUENCES = 2;

  /// Odd sizes, places for four fifths of the choices, and a balance loss that can be seen.
  private static final MoeShape SHAPE = new MoeShape(2, 3, 9, 7, 5, 2, 80, 300, 5, 11, true);

  private final MoeModel model = new MoeModel(SHAPE, 1);
  private final ModelTrace trace = new ModelTrace("objective");

  private Map<String, double[]> inputs() {
    SplittableRandom random = new SplittableRandom(23);
    Map<String, double[]> inputs = new HashMap<>();
    for (String name : List.of(ModelPrograms.TOKENS, ModelPrograms.TARGETS)) {
      inputs.put(
          name,
          random
              .ints(SEQUENCES * (long) SHAPE.context(), 0, SHAPE.vocabulary())
              .asDoubleStream()
              .toArray());
    }
    for (ParameterUse use : trace.uses()) {
      int count = (int) use.parameter().shape().elements();
      inputs.put(
          use.inputName(),
          DoubleStream.generate(() -> random.nextGaussian() / 2).limit(count).toArray());
    }
    return inputs;
  }

  /// The sum of the losses and of what is made small beside them.
  private Value objective() {
    GraphBuilder builder = trace.builder();
    ValueType ids = ValueType.i32(SEQUENCES, SHAPE.context());
    Value tokens = builder.input(ModelPrograms.TOKENS, ids);
    Value targets = builder.input(ModelPrograms.TARGETS, ids);
    Value logits = model.logits(trace, tokens, Recompute.NONE);
    CrossEntropy loss = new CrossEntropy(new Blocks(SEQUENCES, 1), model.vocabularyBlocks());
    Value sum = trace.all(loss, logits, targets).getFirst();
    for (Map.Entry<Value, Double> each : trace.auxiliaries().entrySet()) {
      Value weight = trace.one(new Constant(each.getKey().type(), each.getValue()));
      sum = trace.one(new Add(), sum, trace.one(new Mul(), each.getKey(), weight));
    }
    return sum;
  }

  @Test
  void followsCentralDifferences() {
    Value objective = objective();
    List<String> names = trace.uses().stream().map(ParameterUse::inputName).toList();
    GradientBlocks blocks = new GradientBlocks(SEQUENCES, 1, trace.columns());
    new GradientCheck(trace.builder(), objective, inputs(), names, blocks).run();
  }

  @Test
  void theLaneProgramDifferentiatesTheLossAndTheBalance() {
    Value objective = objective();
    Map<String, double[]> inputs = inputs();
    List<String> names = trace.uses().stream().map(ParameterUse::inputName).toList();
    GradientBlocks blocks = new GradientBlocks(SEQUENCES, 1, trace.columns());
    List<double[]> expected =
        new GradientCheck(trace.builder(), objective, inputs, names, blocks).gradients();
    for (Recompute recompute : Recompute.values()) {
      ModelPrograms.Traced lane =
          new ModelPrograms(model, 1, recompute, Precision.F32, DropoutPlan.NONE).lane(SEQUENCES);
      Map<String, double[]> found = new HashMap<>();
      List<double[]> results = ReferenceInterpreter.run(lane.graph(), inputs);
      for (int i = 0; i < results.size(); i++) {
        found.put(lane.graph().outputs().get(i).name(), results.get(i));
      }
      for (int i = 0; i < names.size(); i++) {
        double[] gradient =
            found.getOrDefault(ParameterUse.gradientName(names.get(i)), new double[0]);
        Closeness.assertClose(gradient, expected.get(i), 1e-12);
      }
    }
  }
}
