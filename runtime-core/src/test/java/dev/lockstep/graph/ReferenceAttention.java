package dev.lockstep.graph;

import dev.lockstep.tensor.Shape;
import java.util.List;

/// Causal attention in float64, one query at a time.
final class ReferenceAttention {
  private final int batch;
  private final int queries;
  private final int keys;
  private final int heads;
  private final int groups;
  private final int size;
  private long firstQuery;

  /// @param q shape `[B, T, heads · size]`
  /// @param k shape `[B, K, groups · size]`
  ReferenceAttention(Shape q, Shape k, int heads, int groups) {
    this.batch = Math.toIntExact(q.dim(0));
    this.queries = Math.toIntExact(q.dim(1));
    this.keys = Math.toIntExact(k.dim(1));
    this.heads = heads;
    this.groups = groups;
    this.size = Math.toIntExact(q.dim(2)) / heads;
  }

  /// @param qkv shape `[B, T, 3C]`
  static ReferenceAttention packed(Shape qkv, int heads) {
    Shape part = qkv.with(2, qkv.dim(2) / 3);
    return new ReferenceAttention(part, part, heads, heads);
  }

  /// Says where among the keys the first query stands.
  ReferenceAttention from(long position) {
    firstQuery = position;
    return this;
  }

  private int width() {
    return heads * size;
  }

  private List<double[]> unpacked(double[] qkv) {
    List<double[]> parts =
        List.of(new double[qkv.length / 3], new double[qkv.length / 3], new double[qkv.length / 3]);
    for (int i = 0; i < qkv.length; i++) {
      int row = i / (3 * width());
      int column = i % (3 * width());
      parts.get(column / width())[row * width() + column % width()] = qkv[i];
    }
    return parts;
  }

  List<double[]> forwardPacked(double[] qkv) {
    List<double[]> parts = unpacked(qkv);
    return forward(parts.get(0), parts.get(1), parts.get(2));
  }

  double[] backwardPacked(double[] dout, double[] qkv, double[] out, double[] logSumExp) {
    List<double[]> parts = backward(dout, unpacked(qkv), out, logSumExp);
    double[] packed = new double[qkv.length];
    for (int i = 0; i < packed.length; i++) {
      int row = i / (3 * width());
      int column = i % (3 * width());
      packed[i] = parts.get(column / width())[row * width() + column % width()];
    }
    return packed;
  }

  private int queryAt(int sequence, int query, int head) {
    return (sequence * queries + query) * heads * size + head * size;
  }

  private int keyAt(int sequence, int key, int head) {
    return (sequence * keys + key) * groups * size + head / (heads / groups) * size;
  }

  private double score(double[] q, int queryAt, double[] k, int keyAt) {
    double sum = 0;
    for (int i = 0; i < size; i++) {
      sum += q[queryAt + i] * k[keyAt + i];
    }
    return sum / Math.sqrt((double) size);
  }

  List<double[]> forward(double[] q, double[] k, double[] v) {
    double[] out = new double[q.length];
    double[] logSumExp = new double[batch * heads * queries];
    for (int row = 0; row < logSumExp.length; row++) {
      int sequence = row / (heads * queries);
      int head = row / queries % heads;
      int at = queryAt(sequence, row % queries, head);
      double max = Double.NEGATIVE_INFINITY;
      long last = firstQuery + row % queries;
      for (int key = 0; key <= last; key++) {
        max = Math.max(max, score(q, at, k, keyAt(sequence, key, head)));
      }
      double sum = 0;
      for (int key = 0; key <= last; key++) {
        sum += Math.exp(score(q, at, k, keyAt(sequence, key, head)) - max);
      }
      logSumExp[row] = max + Math.log(sum);
      for (int key = 0; key <= last; key++) {
        int keyAt = keyAt(sequence, key, head);
        double weight = Math.exp(score(q, at, k, keyAt) - logSumExp[row]);
        for (int i = 0; i < size; i++) {
          out[at + i] += weight * v[keyAt + i];
        }
      }
    }
    return List.of(out, logSumExp);
  }

  List<double[]> backward(double[] dout, List<double[]> inputs, double[] out, double[] logSumExp) {
    double[] q = inputs.get(0);
    double[] k = inputs.get(1);
    double[] v = inputs.get(2);
    double[] dq = new double[q.length];
    double[] dk = new double[k.length];
    double[] dv = new double[v.length];
    for (int row = 0; row < logSumExp.length; row++) {
      int sequence = row / (heads * queries);
      int head = row / queries % heads;
      int at = queryAt(sequence, row % queries, head);
      double delta = 0;
      for (int i = 0; i < size; i++) {
        delta += dout[at + i] * out[at + i];
      }
      for (int key = 0; key <= firstQuery + row % queries; key++) {
        int keyAt = keyAt(sequence, key, head);
        double weight = Math.exp(score(q, at, k, keyAt) - logSumExp[row]);
        double dweight = 0;
        for (int i = 0; i < size; i++) {
          dweight += dout[at + i] * v[keyAt + i];
          dv[keyAt + i] += weight * dout[at + i];
        }
        double dscore = weight * (dweight - delta) / Math.sqrt((double) size);
        for (int i = 0; i < size; i++) {
          dq[at + i] += dscore * k[keyAt + i];
          dk[keyAt + i] += dscore * q[at + i];
        }
      }
    }
    return List.of(dq, dk, dv);
  }
}
