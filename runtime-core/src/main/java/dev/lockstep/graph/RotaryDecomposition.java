package dev.lockstep.graph;

import dev.lockstep.graph.Composite.Rotary;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.List;

/// Rotary position embedding as primitives: angles by the exponential, their sines and cosines by
/// Taylor polynomials after whole turns are taken off.
final class RotaryDecomposition {
  private static final double TURN = 2 * Math.PI;

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
  private Value angle(ValueType type) {
    double slope = -2 * Math.log((double) op.base()) / op.size();
    Value frequency = emit.exp(emit.mul(emit.iota(type, 1), slope));
    Value angle = emit.mul(emit.add(emit.iota(type, 0), (double) op.firstPosition()), frequency);
    Value turns = emit.convert(emit.convert(emit.mul(angle, 1 / TURN), DType.I32), DType.F32);
    return emit.sub(angle, emit.mul(turns, TURN));
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
