package dev.lockstep.device.neuron.hlo;

import dev.lockstep.device.neuron.hlo.HloProgram.Array;
import dev.lockstep.device.neuron.hlo.HloProgram.Instruction;
import java.util.ArrayList;
import java.util.List;

/// HLO's general dot product.
final class HloProducts {
  private HloProducts() {}

  /// Result dimensions are the batches, the left operand's free ones and the right operand's.
  static double[] dot(Instruction at, Array left, Array right, double[] x, double[] y) {
    ProtoFields numbers = at.proto().message(30);
    long[] leftSummed = numbers.packed(1);
    long[] rightSummed = numbers.packed(2);
    long[] leftBatch = numbers.packed(3);
    long[] rightBatch = numbers.packed(4);
    List<Integer> leftFree = free(left, leftSummed, leftBatch);
    List<Integer> rightFree = free(right, rightSummed, rightBatch);
    double[] a = ordered(left, x, leftBatch, leftFree, leftSummed);
    double[] b = ordered(right, y, rightBatch, rightFree, rightSummed);
    int batches = size(left, leftBatch);
    int k = size(left, leftSummed);
    int m = leftFree.stream().mapToInt(dim -> left.dims()[dim]).reduce(1, (p, q) -> p * q);
    int n = rightFree.stream().mapToInt(dim -> right.dims()[dim]).reduce(1, (p, q) -> p * q);
    double[] out = new double[batches * m * n];
    for (int batch = 0; batch < batches; batch++) {
      for (int row = 0; row < m; row++) {
        for (int column = 0; column < n; column++) {
          int from = (batch * m + row) * k;
          int to = (batch * n + column) * k;
          double sum = 0;
          for (int i = 0; i < k; i++) {
            sum += a[from + i] * b[to + i];
          }
          out[(batch * m + row) * n + column] = sum;
        }
      }
    }
    return out;
  }

  private static int size(Array array, long[] dims) {
    int size = 1;
    for (long dim : dims) {
      size *= array.dims()[(int) dim];
    }
    return size;
  }

  private static List<Integer> free(Array array, long[] summed, long[] batch) {
    List<Integer> free = new ArrayList<>();
    for (int dim = 0; dim < array.dims().length; dim++) {
      if (!contains(summed, dim) && !contains(batch, dim)) {
        free.add(dim);
      }
    }
    return free;
  }

  private static boolean contains(long[] dims, int dim) {
    for (long each : dims) {
      if (each == dim) {
        return true;
      }
    }
    return false;
  }

  /// The elements as `[batches, free, summed]`.
  private static double[] ordered(
      Array array, double[] x, long[] batch, List<Integer> free, long[] summed) {
    List<Integer> order = new ArrayList<>();
    for (long dim : batch) {
      order.add((int) dim);
    }
    order.addAll(free);
    for (long dim : summed) {
      order.add((int) dim);
    }
    int[] of = HloInterpreter.strides(array.dims());
    int[] dims = order.stream().mapToInt(dim -> array.dims()[dim]).toArray();
    int[] strides = order.stream().mapToInt(dim -> of[dim]).toArray();
    return HloInterpreter.view(x, dims, strides, 0);
  }
}
