package dev.lockstep.device.cuda;

import java.util.List;

/// A parameter of a kernel, as its plan knows it.
sealed interface Argument {
  /// A pointer.
  record At(Ref ref) implements Argument {}

  /// An `int`.
  record Word(int value) implements Argument {}

  /// A `long long`.
  record Wide(long value) implements Argument {}

  /// A `float`.
  record Real(float value) implements Argument {}

  /// A `double`.
  record Real64(double value) implements Argument {}

  /// A struct of 8-byte words.
  record Struct(List<Field> fields) implements Argument {
    public Struct {
      fields = List.copyOf(fields);
    }
  }

  /// A word of a struct.
  sealed interface Field {
    /// A pointer.
    record At(Ref ref) implements Field {}

    /// A `long long`, or two `int`s, the first one lowest.
    record Word(long bits) implements Field {}
  }
}
