package dev.lockstep.device.neuron.hlo;

import dev.lockstep.graph.ValueType;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleToLongFunction;

/// Shapes and layouts as messages, and the field numbers of `xla/service/hlo.proto` and
/// `xla/xla_data.proto` that more than one class needs.
final class Schema {
  private static final int TUPLE = 13;

  private Schema() {}

  /// `xla.PrimitiveType`.
  static int elementType(DType dtype) {
    return switch (dtype) {
      case BOOL -> 1;
      case I8 -> 2;
      case I16 -> 3;
      case I32 -> 4;
      case I64 -> 5;
      case U8 -> 6;
      case F16 -> 10;
      case F32 -> 11;
      case F64 -> 12;
      case BF16 -> 16;
      case F8_E5M2 -> 19;
      case F8_E4M3FN -> 20;
      case F8_E4M3 -> 28;
    };
  }

  /// `xla.ShapeProto` of an array, row-major.
  static ProtoWriter shape(ValueType type) {
    Shape shape = type.shape();
    int rank = shape.rank();
    long[] minorToMajor = new long[rank];
    for (int i = 0; i < rank; i++) {
      minorToMajor[i] = rank - 1L - i;
    }
    ProtoWriter layout = new ProtoWriter().packed(1, minorToMajor).number(16, 1);
    return new ProtoWriter()
        .number(2, elementType(type.dtype()))
        .packed(3, shape.dims())
        .message(5, layout)
        .packed(6, new long[rank]);
  }

  /// `xla.ShapeProto` of a tuple of arrays.
  static ProtoWriter tuple(List<ValueType> types) {
    ProtoWriter shape = new ProtoWriter().number(2, TUPLE);
    types.forEach(type -> shape.message(4, shape(type)));
    return shape;
  }

  /// `xla.LiteralProto` of the elements of an array.
  static ProtoWriter literal(ValueType type, double... values) {
    DType dtype = type.dtype();
    ProtoWriter literal = new ProtoWriter().message(1, shape(type));
    return switch (dtype) {
      case BOOL -> literal.packed(2, longs(values, value -> value != 0 ? 1 : 0));
      case I32 -> literal.packed(4, longs(values, value -> (int) value));
      case F32 -> literal.packedFloats(8, values);
      case F64, BF16, F16, F8_E4M3FN, F8_E4M3, F8_E5M2, I64, I16, I8, U8 ->
          throw new IllegalArgumentException("literals are BOOL, I32 or F32: dtype=" + dtype);
    };
  }

  private static long[] longs(double[] values, DoubleToLongFunction each) {
    return Arrays.stream(values).mapToLong(each).toArray();
  }

  /// `xla.SourceTarget`: who sends to whom.
  static ProtoWriter sourceTarget(int source, int target) {
    return new ProtoWriter().number(1, source).number(2, target);
  }

  /// A map of strings, `xla.FrontendAttributes`.
  static ProtoWriter attribute(String key, String value) {
    ProtoWriter entry = new ProtoWriter().text(1, key).text(2, value);
    return new ProtoWriter().message(1, entry);
  }
}
