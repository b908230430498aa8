package dev.lockstep.device;

import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.NarrowFloat;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// Numbers as the bytes of an element type, and back.
final class HostElements {
  private static final ValueLayout.OfDouble F64 =
      ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfFloat F32 =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong I64 =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfShort I16 =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private HostElements() {}

  static MemorySegment encode(Arena arena, double[] numbers, DType dtype) {
    MemorySegment memory = arena.allocate((long) numbers.length * dtype.bytes(), 64);
    for (int i = 0; i < numbers.length; i++) {
      set(memory, i, numbers[i], dtype);
    }
    return memory;
  }

  private static void set(MemorySegment memory, int i, double number, DType dtype) {
    switch (dtype) {
      case F64 -> memory.setAtIndex(F64, i, number);
      case F32 -> memory.setAtIndex(F32, i, (float) number);
      case BF16, F16 ->
          memory.setAtIndex(I16, i, (short) NarrowFloat.encode(dtype, (float) number));
      case F8_E4M3FN, F8_E4M3, F8_E5M2 ->
          memory.set(ValueLayout.JAVA_BYTE, i, (byte) NarrowFloat.encode(dtype, (float) number));
      case I64 -> memory.setAtIndex(I64, i, (long) number);
      case I32 -> memory.setAtIndex(I32, i, (int) number);
      case I16 -> memory.setAtIndex(I16, i, (short) number);
      case I8, U8, BOOL -> memory.set(ValueLayout.JAVA_BYTE, i, (byte) (int) number);
    }
  }

  static double[] decode(MemorySegment memory, DType dtype) {
    double[] numbers = new double[Math.toIntExact(memory.byteSize() / dtype.bytes())];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = get(memory, i, dtype);
    }
    return numbers;
  }

  private static double get(MemorySegment memory, int i, DType dtype) {
    return switch (dtype) {
      case F64 -> memory.getAtIndex(F64, i);
      case F32 -> memory.getAtIndex(F32, i);
      case BF16, F16 -> NarrowFloat.decode(dtype, memory.getAtIndex(I16, i));
      case F8_E4M3FN, F8_E4M3, F8_E5M2 ->
          NarrowFloat.decode(dtype, memory.get(ValueLayout.JAVA_BYTE, i));
      case I64 -> memory.getAtIndex(I64, i);
      case I32 -> memory.getAtIndex(I32, i);
      case I16 -> memory.getAtIndex(I16, i);
      case I8 -> memory.get(ValueLayout.JAVA_BYTE, i);
      case U8, BOOL -> memory.get(ValueLayout.JAVA_BYTE, i) & 0xFF;
    };
  }
}
