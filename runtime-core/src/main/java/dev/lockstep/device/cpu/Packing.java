package dev.lockstep.device.cpu;

/// Transposes into packed panels, by 2 x 2 elements: each pair is moved as one 64-bit word.
final class Packing {
  private Packing() {}

  /// Transposes `filled` rows of `length` elements, `stride` bytes apart, into `length` rows of
  /// `width` elements, the rest of each filled with zeros.
  static void along(long from, long stride, int length, int filled, int width, long to) {
    long step = width * 4L;
    int r = 0;
    for (; r + 1 < filled; r += 2) {
      two(from + r * stride, stride, length, to + r * 4L, step);
    }
    for (; r < filled; r++) {
      for (int i = 0; i < length; i++) {
        Memory.i32(to + i * step + r * 4L, Memory.i32(from + r * stride + i * 4L));
      }
    }
    for (; r < width; r++) {
      for (int i = 0; i < length; i++) {
        Memory.i32(to + i * step + r * 4L, 0);
      }
    }
  }

  private static void two(long from, long stride, int length, long to, long step) {
    int i = 0;
    for (; i + 1 < length; i += 2) {
      long source = Memory.at(from + i * 4L);
      long target = Memory.at(to + i * step);
      long x = Memory.i64(source);
      long y = Memory.i64(source + stride);
      Memory.i64(target, (x & 0xFFFF_FFFFL) | (y << 32));
      Memory.i64(target + step, (x >>> 32) | (y & 0xFFFF_FFFF_0000_0000L));
    }
    if (i < length) {
      Memory.i32(to + i * step, Memory.i32(from + i * 4L));
      Memory.i32(to + i * step + 4, Memory.i32(from + stride + i * 4L));
    }
  }
}
