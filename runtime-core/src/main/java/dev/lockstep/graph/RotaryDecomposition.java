package dev.lockstep.graph;

import dev.lockstep.graph.Composite.Rotary;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.function.DoubleUnaryOperator;

/// Rotary position embedding as primitives: angles as parts of a turn, their sines and cosines by
/// Taylor polynomials.
final class RotaryDecomposition {
  private static final double TURN = 2 * Math.PI;
  private static final double WORD = 1 << 12;

  /// Degree at which the polynomials end: π^29 / 29! is below 1e-16.
  private static final int DEGREE = 28;

  private final Emitter emit;
  private final Rotary op;

  RotaryDecomposition(Emitter emit, Rotary op) {
    this.emit = emit;
    this.op = op;
  }

  /// `[B, T, heads · size]`, turned.
  Value apply(Value x) {
    Shape shape = x.type().shape();
    long half = op.size() / 2;
    Shape byHead = Shape.of(shape.dim(0), shape.dim(1), shape.dim(2) / op.size(), op.size());
    Value heads = emit.reshape(x, byHead);
    Value low = emit.slice(heads, 3, 0, half);
    Value high = emit.slice(heads, 3, half, op.size());
    Value angle = angle(ValueType.f32(shape.dim(1), half));
    Value cosine = spread(series(angle, 0), low);
    Value sine = spread(emit.mul(series(angle, 1), op.inverse() ? -1 : 1), low);
    Value turnedLow = emit.sub(emit.mul(low, cosine), emit.mul(high, sine));
    Value turnedHigh = emit.add(emit.mul(high, cosine), emit.mul(low, sine));
    return emit.reshape(emit.concat(3, List.of(turnedLow, turnedHigh)), shape);
  }

  /// `[T, size/2]` over sequences and heads.
  private Value spread(Value table, Value like) {
    return emit.broadcast(table, like.type().shape(), List.of(1, 3));
  }

  /// The angles `[T, size/2]`, between -π and π.
  ///
  /// In float32 `position · frequency` is wrong by its last bit, at position 100,000 by 0.004. So
  /// turns are multiplied, of which whole ones do not count, as words of 12 bits: a position is
  /// `high · 4096 + low`, the turns of one are `first + second + rest` with `first` a multiple of
  /// 2^-12, `second` one of 2^-24. Every product but that with the rest is exact, and the rest is
  /// small: below position 2^24 angles are right to some 1e-6.
  private Value angle(ValueType type) {
    Value position = emit.add(emit.iota(type, 0), (double) op.firstPosition());
    Value high = emit.mul(rounded(emit.mul(position, 1 / WORD)), WORD);
    Value low = emit.sub(position, high);
    // high · first is whole.
    Value turns = fraction(emit.mul(low, table(type, RotaryDecomposition::first)));
    Value second = table(type, RotaryDecomposition::second);
    turns = emit.add(turns, fraction(emit.mul(high, second)));
    turns = emit.add(turns, emit.mul(low, second));
    turns = emit.add(turns, emit.mul(position, table(type, RotaryDecomposition::rest)));
    return emit.mul(fraction(turns), TURN);
  }

  private static double first(double turns) {
    return Math.rint(turns * WORD) / WORD;
  }

  private static double second(double turns) {
    return first((turns - first(turns)) * WORD) / WORD;
  }

  private static double rest(double turns) {
    return turns - first(turns) - second(turns);
  }

  /// A word of each feature's turns from one position to the next, for all positions.
  private Value table(ValueType type, DoubleUnaryOperator word) {
    List<Value> features = new ArrayList<>();
    for (int i = 0; i < op.size() / 2; i++) {
      double turns = StrictMath.pow(op.base(), -2.0 * i / op.size()) / TURN;
      double part = word.applyAsDouble(turns - Math.rint(turns));
      features.add(emit.constant(ValueType.f32(1), part));
    }
    return emit.broadcast(emit.concat(0, features), type.shape(), List.of(1));
  }

  /// What lies beyond the nearest whole number.
  private Value fraction(Value x) {
    return emit.sub(x, rounded(x));
  }

  private Value rounded(Value x) {
    return emit.convert(emit.convert(x, DType.I32), DType.F32);
  }

  /// The cosine (`first` 0) or sine (1).
  private Value series(Value x, int first) {
    Value square = emit.mul(x, x);
    int last = DEGREE - 1 + first;
    Value sum = emit.constant(x, term(last - (last - first) % 2));
    for (int degree = last - (last - first) % 2 - 2; degree >= first; degree -= 2) {
      sum = emit.add(emit.mul(sum, square), term(degree));
    }
    return first == 0 ? sum : emit.mul(sum, x);
  }

  /// The coefficient of `x^degree`.
  private static double term(int degree) {
    double factorial = 1;
    for (int i = 2; i <= degree; i++) {
      factorial *= i;
    }
    return (degree / 2 % 2 == 0 ? 1 : -1) / factorial;
  }
}
