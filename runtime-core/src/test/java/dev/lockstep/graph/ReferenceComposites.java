package dev.lockstep.graph;

import dev.lockstep.graph.Composite.AdamW;
import dev.lockstep.graph.Composite.CausalAttention;
import dev.lockstep.graph.Composite.CausalAttentionGrad;
import dev.lockstep.graph.Composite.CrossEntropy;
import dev.lockstep.graph.Composite.CrossEntropyGrad;
import dev.lockstep.graph.Composite.Dropout;
import dev.lockstep.graph.Composite.Gelu;
import dev.lockstep.graph.Composite.GeluGrad;
import dev.lockstep.graph.Composite.GroupedAttention;
import dev.lockstep.graph.Composite.GroupedAttentionGrad;
import dev.lockstep.graph.Composite.LayerNorm;
import dev.lockstep.graph.Composite.LayerNormGrad;
import dev.lockstep.graph.Composite.Linear;
import dev.lockstep.graph.Composite.RmsNorm;
import dev.lockstep.graph.Composite.RmsNormGrad;
import dev.lockstep.graph.Composite.Rotary;
import dev.lockstep.graph.Composite.Silu;
import dev.lockstep.graph.Composite.SiluGrad;
import dev.lockstep.graph.Composite.SquaredNorm;
import dev.lockstep.graph.Composite.SwiGlu;
import dev.lockstep.graph.Composite.SwiGluGrad;
import dev.lockstep.tensor.Shape;
import java.util.List;
import java.util.stream.IntStream;

/// Composites in float64, each from its definition.
final class ReferenceComposites {
  private final List<double[]> in;
  private final List<ValueType> types;

  ReferenceComposites(List<double[]> in, List<ValueType> types) {
    this.in = in;
    this.types = types;
  }

  List<double[]> run(Composite composite) {
    return switch (composite) {
      case Linear linear -> List.of(linear(linear));
      case Gelu _ -> List.of(gelu());
      case GeluGrad _ -> List.of(geluGrad());
      case LayerNorm(float epsilon) -> layerNorm(epsilon);
      case LayerNormGrad _ -> layerNormGrad();
      case Silu _ -> List.of(silu());
      case SiluGrad _ -> List.of(siluGrad(in.get(0), in.get(1)));
      case SwiGlu _ -> List.of(times(silu(), in.get(1)));
      case SwiGluGrad _ ->
          List.of(
              siluGrad(times(in.get(0), in.get(2)), in.get(1)), times(in.get(0), silu(in.get(1))));
      case Dropout dropout -> List.of(dropout(dropout));
      case RmsNorm(float epsilon) -> rmsNorm(epsilon);
      case RmsNormGrad _ -> rmsNormGrad();
      case Rotary rotary -> List.of(rotary(rotary));
      case CausalAttention(int heads) ->
          ReferenceAttention.packed(types.get(0).shape(), heads).forwardPacked(in.get(0));
      case CausalAttentionGrad(int heads, Blocks _) ->
          List.of(
              ReferenceAttention.packed(types.get(1).shape(), heads)
                  .backwardPacked(in.get(0), in.get(1), in.get(2), in.get(3)));
      case GroupedAttention(int heads, int groups, long firstQuery) ->
          new ReferenceAttention(types.get(0).shape(), types.get(1).shape(), heads, groups)
              .from(firstQuery)
              .forward(in.get(0), in.get(1), in.get(2));
      case GroupedAttentionGrad(int heads, int groups, long firstQuery, Blocks _) ->
          new ReferenceAttention(types.get(1).shape(), types.get(2).shape(), heads, groups)
              .from(firstQuery)
              .backward(in.get(0), in.subList(1, 4), in.get(4), in.get(5));
      case CrossEntropy _ -> crossEntropy();
      case CrossEntropyGrad _ -> List.of(crossEntropyGrad());
      case SquaredNorm _ -> List.of(new double[] {squaredNorm()});
      case AdamW adamW -> adamW(adamW);
    };
  }

  private static int width(ValueType type) {
    return Math.toIntExact(type.shape().dim(-1));
  }

  private static int rows(ValueType type) {
    int rows = 1;
    Shape shape = type.shape();
    for (int dim = 0; dim < shape.rank() - 1; dim++) {
      rows *= Math.toIntExact(shape.dim(dim));
    }
    return rows;
  }

  private double[] linear(Linear linear) {
    double[] x = in.get(0);
    double[] weight = in.get(1);
    double[] bias = in.get(2);
    int summed = width(types.get(0));
    int columns = bias.length;
    double[] out = new double[rows(types.get(0)) * columns];
    for (int i = 0; i < out.length; i++) {
      int row = i / columns;
      int column = i % columns;
      out[i] = bias[column];
      for (int k = 0; k < summed; k++) {
        int at = linear.transposeWeight() ? column * summed + k : k * columns + column;
        out[i] += x[row * summed + k] * weight[at];
      }
    }
    return out;
  }

  /// `1 / (1 + e^(-2u))` with the inner argument `u` of GPT-2's GELU: `(1 + tanh u) / 2`.
  private static double gate(double x) {
    double u = Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x);
    return 1 / (1 + Math.exp(-2 * u));
  }

  private double[] gelu() {
    double[] x = in.get(0);
    return IntStream.range(0, x.length).mapToDouble(i -> x[i] * gate(x[i])).toArray();
  }

  private double[] geluGrad() {
    double[] x = in.get(1);
    double[] out = new double[x.length];
    for (int i = 0; i < out.length; i++) {
      double gate = gate(x[i]);
      double slope = Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x[i] * x[i]);
      out[i] = in.get(0)[i] * (gate + x[i] * 2 * gate * (1 - gate) * slope);
    }
    return out;
  }

  private double[] silu() {
    return silu(in.get(0));
  }

  private static double[] silu(double[] x) {
    return IntStream.range(0, x.length).mapToDouble(i -> x[i] / (1 + Math.exp(-x[i]))).toArray();
  }

  private static double[] times(double[] a, double[] b) {
    return IntStream.range(0, a.length).mapToDouble(i -> a[i] * b[i]).toArray();
  }

  private static double[] siluGrad(double[] dy, double[] x) {
    double[] out = new double[x.length];
    for (int i = 0; i < out.length; i++) {
      double s = 1 / (1 + Math.exp(-x[i]));
      out[i] = dy[i] * (s + x[i] * s * (1 - s));
    }
    return out;
  }

  private double[] dropout(Dropout op) {
    double[] random =
        ReferenceInterpreter.run(op.random(), in.subList(1, 3), types.subList(1, 3)).getFirst();
    double[] x = in.get(0);
    return IntStream.range(0, x.length)
        .mapToDouble(i -> random[i] < op.rate() ? 0 : x[i] * op.scale())
        .toArray();
  }

  private List<double[]> rmsNorm(double epsilon) {
    double[] x = in.get(0);
    int width = width(types.get(0));
    double[] out = new double[x.length];
    double[] rstds = new double[rows(types.get(0))];
    for (int row = 0; row < rstds.length; row++) {
      double squares = 0;
      for (int i = row * width; i < (row + 1) * width; i++) {
        squares += x[i] * x[i];
      }
      rstds[row] = 1 / Math.sqrt(squares / width + epsilon);
      for (int i = 0; i < width; i++) {
        out[row * width + i] = x[row * width + i] * rstds[row] * in.get(1)[i];
      }
    }
    return List.of(out, rstds);
  }

  private List<double[]> rmsNormGrad() {
    double[] dy = in.get(0);
    double[] x = in.get(1);
    double[] gain = in.get(2);
    int width = gain.length;
    double[] dx = new double[dy.length];
    double[] dgain = new double[width];
    for (int row = 0; row < rows(types.get(0)); row++) {
      double rstd = in.get(3)[row];
      double along = 0;
      for (int i = row * width; i < (row + 1) * width; i++) {
        dgain[i % width] += dy[i] * x[i] * rstd;
        along += dy[i] * gain[i % width] * x[i];
      }
      for (int i = row * width; i < (row + 1) * width; i++) {
        dx[i] = rstd * dy[i] * gain[i % width] - Math.pow(rstd, 3) * x[i] * along / width;
      }
    }
    return List.of(dx, dgain);
  }

  private double[] rotary(Rotary op) {
    double[] x = in.get(0);
    Shape shape = types.get(0).shape();
    int features = Math.toIntExact(shape.dim(2));
    int half = op.size() / 2;
    double[] out = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      long position = i / features % shape.dim(1) + op.firstPosition();
      int feature = i % op.size();
      boolean low = feature < half;
      double frequency = Math.pow(op.base(), -2.0 * (feature % half) / op.size());
      double angle = position * frequency * (op.inverse() ? -1 : 1);
      double partner = low ? -x[i + half] : x[i - half];
      out[i] = x[i] * Math.cos(angle) + partner * Math.sin(angle);
    }
    return out;
  }

  private List<double[]> layerNorm(double epsilon) {
    double[] x = in.get(0);
    int width = width(types.get(0));
    int rows = rows(types.get(0));
    double[] out = new double[x.length];
    double[] means = new double[rows];
    double[] rstds = new double[rows];
    for (int row = 0; row < rows; row++) {
      double sum = 0;
      double squares = 0;
      for (int i = row * width; i < (row + 1) * width; i++) {
        sum += x[i];
      }
      means[row] = sum / width;
      for (int i = row * width; i < (row + 1) * width; i++) {
        squares += Math.pow(x[i] - means[row], 2);
      }
      rstds[row] = 1 / Math.sqrt(squares / width + epsilon);
      for (int i = 0; i < width; i++) {
        double normal = (x[row * width + i] - means[row]) * rstds[row];
        out[row * width + i] = normal * in.get(1)[i] + in.get(2)[i];
      }
    }
    return List.of(out, means, rstds);
  }

  private List<double[]> layerNormGrad() {
    double[] dy = in.get(0);
    double[] x = in.get(1);
    double[] gain = in.get(2);
    int width = gain.length;
    double[] dx = new double[dy.length];
    double[] dgain = new double[width];
    double[] dbias = new double[width];
    for (int row = 0; row < rows(types.get(0)); row++) {
      double mean = in.get(3)[row];
      double rstd = in.get(4)[row];
      double sum = 0;
      double along = 0;
      for (int i = 0; i < width; i++) {
        double up = dy[row * width + i];
        double normal = (x[row * width + i] - mean) * rstd;
        dgain[i] += up * normal;
        dbias[i] += up;
        sum += up * gain[i];
        along += up * gain[i] * normal;
      }
      for (int i = 0; i < width; i++) {
        double normal = (x[row * width + i] - mean) * rstd;
        double scaled = width * dy[row * width + i] * gain[i];
        dx[row * width + i] = rstd / width * (scaled - sum - normal * along);
      }
    }
    return List.of(dx, dgain, dbias);
  }

  private List<double[]> crossEntropy() {
    double[] logits = in.get(0);
    int width = width(types.get(0));
    double[] logSumExp = new double[rows(types.get(0))];
    double loss = 0;
    double count = 0;
    for (int row = 0; row < logSumExp.length; row++) {
      double max = Double.NEGATIVE_INFINITY;
      for (int i = 0; i < width; i++) {
        max = Math.max(max, logits[row * width + i]);
      }
      double sum = 0;
      for (int i = 0; i < width; i++) {
        sum += Math.exp(logits[row * width + i] - max);
      }
      logSumExp[row] = max + Math.log(sum);
      int target = (int) in.get(1)[row];
      if (target >= 0) {
        loss += logSumExp[row] - logits[row * width + target];
        count++;
      }
    }
    return List.of(new double[] {loss}, new double[] {count}, logSumExp);
  }

  private double[] crossEntropyGrad() {
    double dloss = in.get(0)[0];
    double[] logits = in.get(1);
    int width = width(types.get(1));
    double[] out = new double[logits.length];
    for (int row = 0; row < rows(types.get(1)); row++) {
      int target = (int) in.get(2)[row];
      for (int i = 0; target >= 0 && i < width; i++) {
        double probability = Math.exp(logits[row * width + i] - in.get(3)[row]);
        out[row * width + i] = dloss * (probability - (i == target ? 1 : 0));
      }
    }
    return out;
  }

  private double squaredNorm() {
    double sum = 0;
    for (double[] operand : in) {
      for (double x : operand) {
        sum += x * x;
      }
    }
    return sum;
  }

  private List<double[]> adamW(AdamW adamW) {
    double rate = in.get(4)[0];
    double step = in.get(5)[0];
    double scale = in.get(6)[0];
    double[] p = in.get(0).clone();
    double[] m = in.get(2).clone();
    double[] v = in.get(3).clone();
    for (int i = 0; i < p.length; i++) {
      double gradient = in.get(1)[i] * scale;
      m[i] = adamW.beta1() * m[i] + (1.0 - adamW.beta1()) * gradient;
      v[i] = adamW.beta2() * v[i] + (1.0 - adamW.beta2()) * gradient * gradient;
      double mean = m[i] / (1 - Math.pow(adamW.beta1(), step));
      double square = v[i] / (1 - Math.pow(adamW.beta2(), step));
      p[i] -= rate * adamW.weightDecay() * p[i];
      p[i] -= rate * mean / (Math.sqrt(square) + adamW.epsilon());
    }
    return List.of(p, m, v);
  }
}
