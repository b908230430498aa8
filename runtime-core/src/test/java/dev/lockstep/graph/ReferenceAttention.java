package dev.lockstep.graph;

import dev.lockstep.tensor.Shape;
import java.util.List;

/// Causal attention in float64, one query at a time.
final class ReferenceAttention {
  private final int batch;
  private final int positions;
  private final int features;
  private final int heads;
  private final int size;

  /// @param qkv shape `[B, T, 3C]`
  ReferenceAttention(Shape qkv, int heads) {
    this.batch = Math.toIntExact(qkv.dim(0));
    this.positions = Math.toIntExact(qkv.dim(1));
    this.features = Math.toIntExact(qkv.dim(2) / 3);
    this.heads = heads;
    this.size = features / heads;
  }

  /// Index of the first feature of a head's q (0), k (1) or v (2).
  private int packed(int sequence, int position, int part, int head) {
    return ((sequence * positions + position) * 3 + part) * features + head * size;
  }

  private int plain(int sequence, int position, int head) {
    return (sequence * positions + position) * features + head * size;
  }

  private double score(double[] qkv, int sequence, int head, int query, int key) {
    int q = packed(sequence, query, 0, head);
    int k = packed(sequence, key, 1, head);
    double sum = 0;
    for (int i = 0; i < size; i++) {
      sum += qkv[q + i] * qkv[k + i];
    }
    return sum / Math.sqrt((double) size);
  }

  List<double[]> forward(double[] qkv) {
    double[] out = new double[batch * positions * features];
    double[] logSumExp = new double[batch * heads * positions];
    for (int row = 0; row < logSumExp.length; row++) {
      int sequence = row / (heads * positions);
      int head = row / positions % heads;
      int query = row % positions;
      double max = Double.NEGATIVE_INFINITY;
      for (int key = 0; key <= query; key++) {
        max = Math.max(max, score(qkv, sequence, head, query, key));
      }
      double sum = 0;
      for (int key = 0; key <= query; key++) {
        sum += Math.exp(score(qkv, sequence, head, query, key) - max);
      }
      logSumExp[row] = max + Math.log(sum);
      for (int key = 0; key <= query; key++) {
        double weight = Math.exp(score(qkv, sequence, head, query, key) - logSumExp[row]);
        for (int i = 0; i < size; i++) {
          double value = qkv[packed(sequence, key, 2, head) + i];
          out[plain(sequence, query, head) + i] += weight * value;
        }
      }
    }
    return List.of(out, logSumExp);
  }

  double[] backward(double[] dout, double[] qkv, double[] out, double[] logSumExp) {
    double[] dqkv = new double[qkv.length];
    for (int row = 0; row < logSumExp.length; row++) {
      int sequence = row / (heads * positions);
      int head = row / positions % heads;
      int query = row % positions;
      int at = plain(sequence, query, head);
      double delta = 0;
      for (int i = 0; i < size; i++) {
        delta += dout[at + i] * out[at + i];
      }
      int q = packed(sequence, query, 0, head);
      for (int key = 0; key <= query; key++) {
        int k = packed(sequence, key, 1, head);
        int v = packed(sequence, key, 2, head);
        double weight = Math.exp(score(qkv, sequence, head, query, key) - logSumExp[row]);
        double dweight = 0;
        for (int i = 0; i < size; i++) {
          dweight += dout[at + i] * qkv[v + i];
          dqkv[v + i] += weight * dout[at + i];
        }
        double dscore = weight * (dweight - delta) / Math.sqrt((double) size);
        for (int i = 0; i < size; i++) {
          dqkv[q + i] += dscore * qkv[k + i];
          dqkv[k + i] += dscore * qkv[q + i];
        }
      }
    }
    return dqkv;
  }
}
