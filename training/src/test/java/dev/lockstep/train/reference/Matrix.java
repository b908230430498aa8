package dev.lockstep.train.reference;

/// Matrix arithmetic on rows of doubles, without a thought for speed.
final class Matrix {
  private Matrix() {}

  /// `x · w + bias` with `w [in, out]` row-major.
  static double[][] linear(double[][] x, double[] w, double[] bias) {
    int out = bias.length;
    double[][] y = new double[x.length][out];
    for (int t = 0; t < x.length; t++) {
      for (int o = 0; o < out; o++) {
        double sum = bias[o];
        for (int i = 0; i < x[t].length; i++) {
          sum += x[t][i] * w[i * out + o];
        }
        y[t][o] = sum;
      }
    }
    return y;
  }

  /// Adds the gradients of [#linear] to `dw` and `dbias` and returns that of `x`.
  static double[][] linearGradient(
      double[][] dy, double[][] x, double[] w, double[] dw, double[] dbias) {
    int out = dbias.length;
    double[][] dx = new double[x.length][x[0].length];
    for (int t = 0; t < x.length; t++) {
      for (int o = 0; o < out; o++) {
        dbias[o] += dy[t][o];
        for (int i = 0; i < x[t].length; i++) {
          dw[i * out + o] += x[t][i] * dy[t][o];
          dx[t][i] += dy[t][o] * w[i * out + o];
        }
      }
    }
    return dx;
  }

  /// `x · wᵀ` with `w [out, in]` row-major.
  static double[][] timesTransposed(double[][] x, double[] w) {
    int in = x[0].length;
    double[][] y = new double[x.length][w.length / in];
    for (int t = 0; t < x.length; t++) {
      for (int o = 0; o < y[t].length; o++) {
        for (int i = 0; i < in; i++) {
          y[t][o] += x[t][i] * w[o * in + i];
        }
      }
    }
    return y;
  }

  /// Adds the gradient of [#timesTransposed] to `dw` and returns that of `x`.
  static double[][] timesTransposedGradient(double[][] dy, double[][] x, double[] w, double[] dw) {
    int in = x[0].length;
    double[][] dx = new double[x.length][in];
    for (int t = 0; t < x.length; t++) {
      for (int o = 0; o < dy[t].length; o++) {
        for (int i = 0; i < in; i++) {
          dw[o * in + i] += dy[t][o] * x[t][i];
          dx[t][i] += dy[t][o] * w[o * in + i];
        }
      }
    }
    return dx;
  }

  /// The sum of two matrices.
  static double[][] plus(double[][] a, double[][] b) {
    double[][] sum = new double[a.length][a[0].length];
    for (int t = 0; t < a.length; t++) {
      for (int i = 0; i < a[t].length; i++) {
        sum[t][i] = a[t][i] + b[t][i];
      }
    }
    return sum;
  }
}
