package dev.lockstep.train.reference;

import dev.lockstep.train.Recipe;
import dev.lockstep.train.model.GptShape;
import dev.lockstep.train.optim.AdamWOptions;
import java.util.LinkedHashMap;
import java.util.Map;

/// Training by a recipe in binary64: the same batches, the whole batch as one sum.
public final class ReferenceTraining {
  private final Recipe recipe;
  private final Map<String, double[]> weights;
  private final Map<String, double[]> first = new LinkedHashMap<>();
  private final Map<String, double[]> second = new LinkedHashMap<>();
  private int step;

  /// Starts from these weights, which training changes.
  public ReferenceTraining(Recipe recipe, Map<String, double[]> weights) {
    this.recipe = recipe;
    this.weights = weights;
    weights.forEach((name, elements) -> first.put(name, new double[elements.length]));
    weights.forEach((name, elements) -> second.put(name, new double[elements.length]));
  }

  /// Takes a step on these sequences and returns the mean loss before it.
  public double step(int[][] tokens, int[][] targets, double learningRate) {
    step++;
    GptShape shape = (GptShape) recipe.model();
    ReferenceGpt model =
        new ReferenceGpt(shape.layers(), shape.heads(), shape.width(), shape.tiedHead(), weights);
    double loss = 0;
    for (int i = 0; i < tokens.length; i++) {
      loss += model.backward(tokens[i], targets[i]);
    }
    double count = (double) tokens.length * tokens[0].length;
    double squares = 0;
    for (double[] gradient : model.gradients().values()) {
      for (double element : gradient) {
        squares += element / count * (element / count);
      }
    }
    double scale = Math.min(1, recipe.optimizer().clip() / (Math.sqrt(squares) + 1e-6)) / count;
    model.gradients().forEach((name, gradient) -> update(name, gradient, scale, learningRate));
    return loss / count;
  }

  private void update(String name, double[] gradient, double scale, double rate) {
    AdamWOptions o = recipe.optimizer();
    double[] p = of(weights, name);
    double[] m = of(first, name);
    double[] v = of(second, name);
    boolean isMatrix = name.endsWith(".weight") && !name.contains("ln_");
    double decay = isMatrix ? o.weightDecay() : 0;
    for (int i = 0; i < p.length; i++) {
      double g = gradient[i] * scale;
      m[i] = o.beta1() * m[i] + (1.0 - o.beta1()) * g;
      v[i] = o.beta2() * v[i] + (1.0 - o.beta2()) * g * g;
      double mean = m[i] / (1 - Math.pow(o.beta1(), step));
      double spread = Math.sqrt(v[i] / (1 - Math.pow(o.beta2(), step))) + o.epsilon();
      p[i] -= rate * decay * p[i] + rate * mean / spread;
    }
  }

  private static double[] of(Map<String, double[]> among, String name) {
    double[] found = among.get(name);
    if (found == null) {
      throw new IllegalArgumentException("no such weight: " + name);
    }
    return found;
  }
}
