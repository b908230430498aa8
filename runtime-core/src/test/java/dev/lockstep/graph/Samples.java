package dev.lockstep.graph;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.DoubleSupplier;

/// Collects an op's operands, drawn from a fixed seed and representable in float32.
public final class Samples {
  private final SplittableRandom random;
  private final List<ValueType> types = new ArrayList<>();
  private final List<double[]> operands = new ArrayList<>();

  /// Starts without operands.
  public Samples(long seed) {
    random = new SplittableRandom(seed);
  }

  /// Adds normally distributed numbers.
  public Samples normal(long... dims) {
    return floats(random::nextGaussian, dims);
  }

  /// Adds numbers between 0.1 and 4.
  public Samples positive(long... dims) {
    return floats(() -> random.nextDouble(0.1, 4), dims);
  }

  /// Adds numbers of which many are equal: -1, 0 or 1.
  public Samples coarse(long... dims) {
    return floats(() -> random.nextInt(3) - 1, dims);
  }

  /// Adds numbers over the whole range that exponentials and their like must survive.
  public Samples wide(long... dims) {
    return floats(() -> random.nextGaussian() * 30, dims);
  }

  /// Adds numbers of the type, near zero and far from it.
  public Samples of(DType dtype, long... dims) {
    return add(
        new ValueType(dtype, Shape.of(dims)),
        () -> {
          double number = Math.abs(random.nextGaussian()) * (random.nextInt(2) == 0 ? 30 : 0.01);
          return Rounding.round((float) number, dtype);
        });
  }

  /// Adds one number.
  public Samples scalar(double value) {
    return floats(() -> value);
  }

  /// Adds these numbers, which the type must hold.
  public Samples numbers(DType dtype, double... numbers) {
    int[] next = new int[1];
    return add(new ValueType(dtype, Shape.of(numbers.length)), () -> numbers[next[0]++]);
  }

  /// Adds I32 numbers in `[from, to)`.
  public Samples integers(int from, int to, long... dims) {
    return add(new ValueType(DType.I32, Shape.of(dims)), () -> random.nextInt(from, to));
  }

  /// Adds truth values.
  public Samples booleans(long... dims) {
    return add(new ValueType(DType.BOOL, Shape.of(dims)), () -> random.nextInt(2));
  }

  /// Adds I32 targets of which about one in five is negative: to be left out.
  public Samples targets(int bound, long... dims) {
    return add(
        new ValueType(DType.I32, Shape.of(dims)),
        () -> random.nextInt(5) == 0 ? -1 : random.nextInt(bound));
  }

  /// Adds a computed operand, rounded to float32.
  public Samples given(ValueType type, double[] elements) {
    int[] next = new int[1];
    return add(type, () -> (float) elements[next[0]++]);
  }

  /// Returns the op on the operands so far.
  public OpCase of(Op op) {
    return new OpCase(op, List.copyOf(types), List.copyOf(operands));
  }

  /// Returns the elements of an operand.
  double[] operand(int index) {
    return operands.get(index);
  }

  /// Returns the type of an operand.
  ValueType type(int index) {
    return types.get(index);
  }

  private Samples floats(DoubleSupplier element, long... dims) {
    return add(ValueType.f32(dims), () -> (float) element.getAsDouble());
  }

  private Samples add(ValueType type, DoubleSupplier element) {
    double[] elements = new double[ReferenceInterpreter.size(type.shape())];
    for (int i = 0; i < elements.length; i++) {
      elements[i] = element.getAsDouble();
    }
    types.add(type);
    operands.add(elements);
    return this;
  }
}
