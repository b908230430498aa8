package dev.lockstep.train.reference;

import java.util.LinkedHashMap;
import java.util.Map;

/// GPT-2 with its gradients, one sequence at a time, after the papers: Radford et al. 2019; layer
/// norm, Ba et al. 2016; GELU by tanh, Hendrycks and Gimpel 2016.
@SuppressWarnings("ArrayRecordComponent") // what a layer saves is never compared
final class ReferenceGpt {
  private static final double EPSILON = 1e-5;

  private final int layers;
  private final int heads;
  private final int width;
  private final boolean tied;
  private final Map<String, double[]> weights;
  private final Map<String, double[]> gradients = new LinkedHashMap<>();

  ReferenceGpt(int layers, int heads, int width, boolean tied, Map<String, double[]> weights) {
    this.layers = layers;
    this.heads = heads;
    this.width = width;
    this.tied = tied;
    this.weights = weights;
    weights.forEach((name, elements) -> gradients.put(name, new double[elements.length]));
  }

  Map<String, double[]> gradients() {
    return gradients;
  }

  /// What the backward pass of a layer needs.
  private record Saved(
      Norm first,
      double[][] qkv,
      double[][][] attention,
      double[][] mixed,
      Norm second,
      double[][] hidden,
      double[][] activated) {}

  /// A layer norm's result and what its gradient needs.
  private record Norm(double[][] y, double[][] normal, double[] rstd) {}

  private double[] w(String name) {
    double[] found = weights.get(name);
    if (found == null) {
      throw new IllegalArgumentException("no such weight: " + name);
    }
    return found;
  }

  private double[] g(String name) {
    double[] found = gradients.get(name);
    if (found == null) {
      throw new IllegalArgumentException("no such weight: " + name);
    }
    return found;
  }

  /// Returns the sum of the losses of a sequence and adds its gradients to [#gradients].
  double backward(int[] tokens, int[] targets) {
    double[][] x = embed(tokens);
    Saved[] saved = new Saved[layers];
    for (int layer = 0; layer < layers; layer++) {
      String at = "transformer.h." + layer + ".";
      Norm first = norm(x, at + "ln_1");
      double[][] qkv = linear(first.y, at + "attn.c_attn");
      double[][][] attention = attention(qkv);
      double[][] mixed = mix(attention, qkv);
      x = Matrix.plus(x, linear(mixed, at + "attn.c_proj"));
      Norm second = norm(x, at + "ln_2");
      double[][] hidden = linear(second.y, at + "mlp.c_fc");
      double[][] activated = gelu(hidden);
      x = Matrix.plus(x, linear(activated, at + "mlp.c_proj"));
      saved[layer] = new Saved(first, qkv, attention, mixed, second, hidden, activated);
    }
    Norm last = norm(x, "transformer.ln_f");
    String head = tied ? "transformer.wte.weight" : "lm_head.weight";
    double[][] logits = Matrix.timesTransposed(last.y, w(head));
    double loss = crossEntropy(logits, targets);

    double[][] dx =
        normGradient(
            Matrix.timesTransposedGradient(logits, last.y, w(head), g(head)),
            last,
            "transformer.ln_f");
    for (int layer = layers - 1; layer >= 0; layer--) {
      String at = "transformer.h." + layer + ".";
      Saved s = saved[layer];
      double[][] dhidden = linearGradient(dx, s.activated, at + "mlp.c_proj");
      geluGradient(dhidden, s.hidden);
      dx =
          Matrix.plus(
              dx,
              normGradient(
                  linearGradient(dhidden, s.second.y, at + "mlp.c_fc"), s.second, at + "ln_2"));
      double[][] dqkv =
          attentionGradient(linearGradient(dx, s.mixed, at + "attn.c_proj"), s.attention, s.qkv);
      dx =
          Matrix.plus(
              dx,
              normGradient(
                  linearGradient(dqkv, s.first.y, at + "attn.c_attn"), s.first, at + "ln_1"));
    }
    embedGradient(dx, tokens);
    return loss;
  }

  private double[][] linear(double[][] x, String name) {
    return Matrix.linear(x, w(name + ".weight"), w(name + ".bias"));
  }

  private double[][] linearGradient(double[][] dy, double[][] x, String name) {
    return Matrix.linearGradient(
        dy, x, w(name + ".weight"), g(name + ".weight"), g(name + ".bias"));
  }

  private double[][] embed(int[] tokens) {
    double[][] x = new double[tokens.length][width];
    for (int t = 0; t < tokens.length; t++) {
      for (int c = 0; c < width; c++) {
        x[t][c] =
            w("transformer.wte.weight")[tokens[t] * width + c]
                + w("transformer.wpe.weight")[t * width + c];
      }
    }
    return x;
  }

  private void embedGradient(double[][] dx, int[] tokens) {
    for (int t = 0; t < tokens.length; t++) {
      for (int c = 0; c < width; c++) {
        g("transformer.wte.weight")[tokens[t] * width + c] += dx[t][c];
        g("transformer.wpe.weight")[t * width + c] += dx[t][c];
      }
    }
  }

  private Norm norm(double[][] x, String name) {
    double[][] normal = new double[x.length][width];
    double[][] y = new double[x.length][width];
    double[] rstd = new double[x.length];
    for (int t = 0; t < x.length; t++) {
      double mean = 0;
      for (double value : x[t]) {
        mean += value / width;
      }
      double variance = 0;
      for (double value : x[t]) {
        variance += (value - mean) * (value - mean) / width;
      }
      rstd[t] = 1 / Math.sqrt(variance + EPSILON);
      for (int c = 0; c < width; c++) {
        normal[t][c] = (x[t][c] - mean) * rstd[t];
        y[t][c] = normal[t][c] * w(name + ".weight")[c] + w(name + ".bias")[c];
      }
    }
    return new Norm(y, normal, rstd);
  }

  private double[][] normGradient(double[][] dy, Norm norm, String name) {
    double[][] dx = new double[dy.length][width];
    for (int t = 0; t < dy.length; t++) {
      double mean = 0;
      double projected = 0;
      for (int c = 0; c < width; c++) {
        g(name + ".weight")[c] += dy[t][c] * norm.normal[t][c];
        g(name + ".bias")[c] += dy[t][c];
        double dnormal = dy[t][c] * w(name + ".weight")[c];
        mean += dnormal / width;
        projected += dnormal * norm.normal[t][c] / width;
      }
      for (int c = 0; c < width; c++) {
        double dnormal = dy[t][c] * w(name + ".weight")[c];
        dx[t][c] = norm.rstd[t] * (dnormal - mean - norm.normal[t][c] * projected);
      }
    }
    return dx;
  }

  /// The attention weights `[head][query][key]`.
  private double[][][] attention(double[][] qkv) {
    int positions = qkv.length;
    int size = width / heads;
    double[][][] weights = new double[heads][positions][positions];
    for (int h = 0; h < heads; h++) {
      for (int q = 0; q < positions; q++) {
        double sum = 0;
        for (int k = 0; k <= q; k++) {
          double score = 0;
          for (int i = 0; i < size; i++) {
            score += qkv[q][h * size + i] * qkv[k][width + h * size + i];
          }
          weights[h][q][k] = Math.exp(score / Math.sqrt(size));
          sum += weights[h][q][k];
        }
        for (int k = 0; k <= q; k++) {
          weights[h][q][k] /= sum;
        }
      }
    }
    return weights;
  }

  private double[][] mix(double[][][] attention, double[][] qkv) {
    int size = width / heads;
    double[][] mixed = new double[qkv.length][width];
    for (int c = 0; c < width; c++) {
      for (int q = 0; q < qkv.length; q++) {
        for (int k = 0; k <= q; k++) {
          mixed[q][c] += attention[c / size][q][k] * qkv[k][2 * width + c];
        }
      }
    }
    return mixed;
  }

  private double[][] attentionGradient(double[][] dmixed, double[][][] attention, double[][] qkv) {
    int size = width / heads;
    double[][] dqkv = new double[qkv.length][3 * width];
    for (int h = 0; h < heads; h++) {
      for (int q = 0; q < qkv.length; q++) {
        double[] dweights = new double[q + 1];
        double weighted = 0;
        for (int k = 0; k <= q; k++) {
          for (int c = h * size; c < (h + 1) * size; c++) {
            dweights[k] += dmixed[q][c] * qkv[k][2 * width + c];
            dqkv[k][2 * width + c] += attention[h][q][k] * dmixed[q][c];
          }
          weighted += dweights[k] * attention[h][q][k];
        }
        for (int k = 0; k <= q; k++) {
          double dscore = attention[h][q][k] * (dweights[k] - weighted) / Math.sqrt(size);
          for (int c = h * size; c < (h + 1) * size; c++) {
            dqkv[q][c] += dscore * qkv[k][width + c];
            dqkv[k][width + c] += dscore * qkv[q][c];
          }
        }
      }
    }
    return dqkv;
  }

  private static double inner(double x) {
    return Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x);
  }

  private static double[][] gelu(double[][] x) {
    double[][] y = new double[x.length][x[0].length];
    for (int t = 0; t < x.length; t++) {
      for (int i = 0; i < x[t].length; i++) {
        y[t][i] = 0.5 * x[t][i] * (1 + Math.tanh(inner(x[t][i])));
      }
    }
    return y;
  }

  /// Turns the gradient of GELU's result into that of its operand, in place.
  private static void geluGradient(double[][] dy, double[][] x) {
    for (int t = 0; t < x.length; t++) {
      for (int i = 0; i < x[t].length; i++) {
        double v = x[t][i];
        double tanh = Math.tanh(inner(v));
        double slope = Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * v * v);
        dy[t][i] *= 0.5 * (1 + tanh) + 0.5 * v * (1 - tanh * tanh) * slope;
      }
    }
  }

  /// Returns the sum of the losses and turns the logits into their gradients.
  private static double crossEntropy(double[][] logits, int[] targets) {
    double loss = 0;
    for (int t = 0; t < logits.length; t++) {
      double sum = 0;
      for (double logit : logits[t]) {
        sum += Math.exp(logit);
      }
      loss += Math.log(sum) - logits[t][targets[t]];
      for (int i = 0; i < logits[t].length; i++) {
        logits[t][i] = Math.exp(logits[t][i]) / sum - (i == targets[t] ? 1 : 0);
      }
    }
    return loss;
  }
}
