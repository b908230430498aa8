package dev.lockstep.bench;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// Writes numbers as elements of any type.
final class Elements {
  private Elements() {}

  static void set(DType dtype, MemorySegment to, long index, double value) {
    switch (dtype) {
      case F64 -> to.setAtIndex(ValueLayout.JAVA_DOUBLE_UNALIGNED, index, value);
      case F32 -> to.setAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, index, (float) value);
      case BF16, F16 ->
          to.setAtIndex(
              ValueLayout.JAVA_SHORT_UNALIGNED,
              index,
              (short) NarrowFloat.encode(dtype, (float) value));
      case F8_E4M3FN, F8_E4M3, F8_E5M2 ->
          to.set(ValueLayout.JAVA_BYTE, index, (byte) NarrowFloat.encode(dtype, (float) value));
      case I64 -> to.setAtIndex(ValueLayout.JAVA_LONG_UNALIGNED, index, (long) value);
      case I32 -> to.setAtIndex(ValueLayout.JAVA_INT_UNALIGNED, index, (int) value);
      case I16 -> to.setAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, index, (short) value);
      case I8, U8, BOOL -> to.set(ValueLayout.JAVA_BYTE, index, (byte) value);
    }
  }
}
