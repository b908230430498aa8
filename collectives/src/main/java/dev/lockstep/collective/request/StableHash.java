package dev.lockstep.collective.request;

/// A 64-bit hash of a sequence of values, the same on every JVM and in every version of Java; not
/// cryptographic. Single-threaded.
public final class StableHash {
  // Odd constants of splitmix64 (Steele, Lea and Flood, 2014).
  private static final long GOLDEN = 0x9E3779B97F4A7C15L;
  private static final long MIX_1 = 0xBF58476D1CE4E5B9L;
  private static final long MIX_2 = 0x94D049BB133111EBL;

  private long value = GOLDEN;

  /// Makes the hash of nothing.
  public StableHash() {}

  /// Adds a number.
  public StableHash add(long number) {
    value = mix(value, number);
    return this;
  }

  /// Adds a text.
  public StableHash add(String text) {
    add(text.length());
    for (int i = 0; i < text.length(); i++) {
      add(text.charAt(i));
    }
    return this;
  }

  /// Returns the hash of what was added so far.
  public long value() {
    return value;
  }

  /// Returns a value that depends on both numbers and on their order; allocates nothing.
  public static long mix(long before, long number) {
    long z = Long.rotateLeft(before, 5) + number * GOLDEN + GOLDEN;
    z = (z ^ (z >>> 30)) * MIX_1;
    z = (z ^ (z >>> 27)) * MIX_2;
    return z ^ (z >>> 31);
  }
}
