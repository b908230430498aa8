package dev.lockstep.train.autodiff;

import dev.lockstep.graph.Closeness;
import dev.lockstep.graph.Graph;
import dev.lockstep.graph.GraphBuilder;
import dev.lockstep.graph.Primitive.Constant;
import dev.lockstep.graph.ReferenceInterpreter;
import dev.lockstep.graph.Value;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/// Compares the gradient graph of a loss with central differences of the loss, both in float64.
final class GradientCheck {
  // Truncation errs by about STEP² and rounding by about 1e-16 / STEP: both near 1e-11.
  private static final double STEP = 1e-5;
  private static final double TOLERANCE = 2e-8;

  /// Elements of an input that are tried, drawn at random where there are more.
  private static final int TRIED = 24;

  private final Graph forward;
  private final Graph backward;
  private final Map<String, double[]> inputs;
  private final List<String> names;

  /// @param builder has the loss; the gradient is appended
  /// @param names inputs whose gradient is checked
  GradientCheck(
      GraphBuilder builder,
      Value loss,
      Map<String, double[]> inputs,
      List<String> names,
      GradientBlocks blocks) {
    Value seed = builder.one(new Constant(loss.type(), 1));
    Graph traced = builder.build();
    this.forward =
        new Graph(
            traced.name(),
            traced.inputs(),
            traced.nodes(),
            List.of(new Graph.Named("loss", loss)),
            Map.of(),
            traced.valueCount());
    List<Value> wrt = names.stream().map(traced::input).toList();
    Differentiator.gradients(builder, loss, seed, wrt, blocks)
        .forEach((name, gradient) -> builder.output("d " + name, gradient));
    this.backward = builder.build();
    this.inputs = inputs;
    this.names = names;
  }

  /// Returns the gradients, in the order of the names.
  List<double[]> gradients() {
    return ReferenceInterpreter.run(backward, inputs);
  }

  void run() {
    List<double[]> gradients = gradients();
    for (int i = 0; i < names.size(); i++) {
      compare(names.get(i), gradients.get(i));
    }
  }

  private void compare(String name, double[] gradient) {
    int tried = Math.min(TRIED, gradient.length);
    SplittableRandom random = new SplittableRandom(name.hashCode());
    double[] found = new double[tried + 1];
    double[] expected = new double[tried + 1];
    for (int i = 0; i < tried; i++) {
      int element = tried == gradient.length ? i : random.nextInt(gradient.length);
      found[i] = gradient[element];
      expected[i] = difference(name, element);
    }
    // Rounding of the loss itself bounds what a difference can resolve.
    expected[tried] = Math.max(1, Math.abs(loss(inputs)));
    found[tried] = expected[tried];
    Closeness.assertClose(found, expected, TOLERANCE);
  }

  private double difference(String name, int element) {
    return (moved(name, element, STEP) - moved(name, element, -STEP)) / (2 * STEP);
  }

  private double moved(String name, int element, double by) {
    Map<String, double[]> moved = new HashMap<>(inputs);
    moved.computeIfPresent(
        name,
        (_, values) -> {
          double[] copy = values.clone();
          copy[element] += by;
          return copy;
        });
    return loss(moved);
  }

  private double loss(Map<String, double[]> at) {
    return ReferenceInterpreter.run(forward, at).getFirst()[0];
  }
}
