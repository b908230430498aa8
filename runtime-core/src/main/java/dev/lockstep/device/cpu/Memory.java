package dev.lockstep.device.cpu;

import static java.nio.ByteOrder.LITTLE_ENDIAN;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/// Memory by raw address: the one class that reaches it through a segment over the whole address
/// space.
///
/// Nothing here is checked. Whoever calls a kernel has checked every extent against its buffer and
/// holds a lease on it. Addresses are masked to a positive range that no process exceeds, so that
/// the compiler proves the bounds check of the global segment and drops it.
@SuppressWarnings("restricted") // the only class of this package that widens a segment
final class Memory {
  /// User-space addresses have at most 52 bits (aarch64 with large virtual addresses).
  private static final long MASK = (1L << 52) - 1;

  /// For loops over vectors alone: a helper of our own that takes or returns a vector is a call
  /// where the compiler's inlining budget is spent, and then boxes it; the JDK's accessors are
  /// always inlined.
  static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

  static final ValueLayout.OfFloat F32 = ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(LITTLE_ENDIAN);
  private static final ValueLayout.OfInt I32 =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(LITTLE_ENDIAN);
  private static final ValueLayout.OfLong I64 =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(LITTLE_ENDIAN);
  private static final ValueLayout.OfShort I16 =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(LITTLE_ENDIAN);

  private Memory() {}

  /// The address as the compiler likes it: offsets added to the result need no bounds check.
  static long at(long address) {
    return address & MASK;
  }

  static float f32(long address) {
    return ALL.get(F32, address & MASK);
  }

  static void f32(long address, float value) {
    ALL.set(F32, address & MASK, value);
  }

  static int i32(long address) {
    return ALL.get(I32, address & MASK);
  }

  static void i32(long address, int value) {
    ALL.set(I32, address & MASK, value);
  }

  static long i64(long address) {
    return ALL.get(I64, address & MASK);
  }

  static void i64(long address, long value) {
    ALL.set(I64, address & MASK, value);
  }

  static short i16(long address) {
    return ALL.get(I16, address & MASK);
  }

  static void i16(long address, short value) {
    ALL.set(I16, address & MASK, value);
  }

  static byte i8(long address) {
    return ALL.get(ValueLayout.JAVA_BYTE, address & MASK);
  }

  static void i8(long address, byte value) {
    ALL.set(ValueLayout.JAVA_BYTE, address & MASK, value);
  }

  static void copy(long from, long to, long bytes) {
    MemorySegment.copy(ALL, from & MASK, ALL, to & MASK, bytes);
  }

  /// Clears `bytes` bytes, a multiple of 4.
  static void zero(long address, long bytes) {
    long whole = bytes & -8L;
    for (long o = 0; o < whole; o += 8) {
      i64(address + o, 0L);
    }
    if (whole < bytes) {
      i32(address + whole, 0);
    }
  }
}
