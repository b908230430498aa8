package dev.lockstep.collective.schedule;

/// A cut of `elements` elements into `parts` contiguous shares, one per rank, as even as borders at
/// multiples of `grain` allow. Few elements fill the first shares and leave the others empty.
///
/// @param elements how many there are
/// @param parts number of shares
/// @param grain borders are multiples of this
public record Shares(long elements, int parts, long grain) {
  private static final int CACHE_LINE = 64;

  /// Checks the numbers.
  public Shares {
    if (elements < 0 || parts < 1 || grain < 1) {
      throw new IllegalArgumentException(
          "cannot cut shares: elements=%d, parts=%d, grain=%d".formatted(elements, parts, grain));
    }
  }

  /// Returns the cut at borders of cache lines, so that no two ranks write into one line.
  public static Shares atCacheLines(long elements, int parts, int elementBytes) {
    return new Shares(elements, parts, CACHE_LINE / elementBytes);
  }

  /// Returns the first element of a share.
  public long start(int part) {
    long units = Math.ceilDiv(elements, grain);
    long whole = units / parts * part;
    long rest = Math.ceilDiv(units % parts * part, (long) parts);
    return Math.min(elements, (whole + rest) * grain);
  }

  /// Returns the number of elements of a share.
  public long length(int part) {
    return start(part + 1) - start(part);
  }

  /// Returns whether every share has as many elements as the first.
  public boolean isEven() {
    return elements % parts == 0 && elements / parts % grain == 0;
  }
}
