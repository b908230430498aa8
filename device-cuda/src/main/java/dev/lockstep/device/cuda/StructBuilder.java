package dev.lockstep.device.cuda;

import java.util.ArrayList;
import java.util.List;

/// Builds a struct that kernels take by value: `int`s in pairs, `long long`s and pointers.
final class StructBuilder {
  private final List<Argument.Field> fields = new ArrayList<>();

  /// Adds two `int`s.
  StructBuilder words(int first, int second) {
    fields.add(new Argument.Field.Word((first & 0xFFFF_FFFFL) | ((long) second << 32)));
    return this;
  }

  /// Adds a `float` and four bytes of nothing.
  StructBuilder real(float value) {
    return words(Float.floatToRawIntBits(value), 0);
  }

  /// Adds `long long`s.
  StructBuilder wide(long... values) {
    for (long value : values) {
      fields.add(new Argument.Field.Word(value));
    }
    return this;
  }

  /// Adds an array of `length` `long long`s, zeros behind those given.
  StructBuilder array(int length, long... values) {
    wide(values);
    return wide(new long[length - values.length]);
  }

  /// Adds a pointer.
  StructBuilder at(Ref ref) {
    fields.add(new Argument.Field.At(ref));
    return this;
  }

  Argument.Struct build() {
    return new Argument.Struct(fields);
  }
}
