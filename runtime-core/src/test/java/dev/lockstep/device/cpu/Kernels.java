package dev.lockstep.device.cpu;

import dev.lockstep.graph.SumTree;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/// Memory, numbers and kernel sets for the kernels' tests. Memory lives as long as the instance,
/// and at least until some more have been made: kernels reach it by addresses, which keep nothing
/// alive.
final class Kernels {
  private static final Kernels[] RECENT = new Kernels[16];
  private static int made;

  private final Arena arena = Arena.ofAuto();
  private final Random random;

  @SuppressWarnings("ThisEscapedInObjectConstruction") // kept alive, not used
  Kernels(long seed) {
    random = new Random(seed);
    synchronized (RECENT) {
      RECENT[made++ % RECENT.length] = this;
    }
  }

  /// Every kernel set that this machine runs, the scalar one first.
  static Stream<KernelSet> all() {
    return Stream.concat(Stream.of(KernelSet.scalar()), vectors());
  }

  static Stream<KernelSet> vectors() {
    return IntStream.of(128, 256, 512)
        .filter(bits -> bits <= KernelSet.preferredBits())
        .mapToObj(KernelSet::vector);
  }

  long room(long bytes) {
    return arena.allocate(Math.max(64, bytes), 64).address();
  }

  long zeros(int n) {
    return room(n * 4L);
  }

  /// Numbers from a normal distribution.
  long normal(int n) {
    return of(n, _ -> random.nextGaussian());
  }

  long of(int n, IntToDoubleFunction value) {
    MemorySegment segment = arena.allocate(Math.max(64, n * 4L), 64);
    for (int i = 0; i < n; i++) {
      segment.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) value.applyAsDouble(i));
    }
    return segment.address();
  }

  long ints(int... values) {
    MemorySegment segment = arena.allocate(Math.max(64, values.length * 4L), 64);
    MemorySegment.copy(values, 0, segment, ValueLayout.JAVA_INT, 0, values.length);
    return segment.address();
  }

  static float[] floats(long address, int n) {
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = Memory.f32(address + i * 4L);
    }
    return values;
  }

  /// Bits of floats, all NaN alike.
  static int[] bits(float[] values) {
    return IntStream.range(0, values.length).map(i -> Float.floatToIntBits(values[i])).toArray();
  }

  static int[] bits(long address, int n) {
    return bits(floats(address, n));
  }

  /// T(n) by its definition.
  static float tree(float[] leaves, int from, int to) {
    if (to - from == 1) {
      return leaves[from];
    }
    int middle = from + SumTree.left(to - from);
    return tree(leaves, from, middle) + tree(leaves, middle, to);
  }

  /// The indices of block `j`, in the order in which they are added.
  static int[] block(int extent, int outer, int blocks, int j) {
    int inner = extent / outer;
    int lo = (int) ((long) j * inner / blocks);
    int hi = (int) ((j + 1L) * inner / blocks);
    return IntStream.range(0, outer)
        .flatMap(o -> IntStream.range(o * inner + lo, o * inner + hi))
        .toArray();
  }

  /// 16 strided partial sums joined by halves, by its definition.
  static float strided(float[] terms) {
    float[] p = new float[16];
    for (int i = 0; i < terms.length; i++) {
      p[i % 16] += terms[i];
    }
    for (int half = 8; half > 0; half /= 2) {
      for (int i = 0; i < half; i++) {
        p[i] += p[i + half];
      }
    }
    return p[0];
  }
}
