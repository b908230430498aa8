package dev.lockstep.collective.request;

import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// How many elements each part of a collective has, and where the part starts when the parts lie
/// one after another. Immutable; equal parts take no memory, however many there are.
public final class Counts {
  private static final Counts NONE = new Counts(0, 0, null);

  private final long size;
  private final long each;
  private final long @Nullable [] starts; // of each part, and the total; null if parts are equal

  private Counts(long size, long each, long @Nullable [] starts) {
    this.size = size;
    this.each = each;
    this.starts = starts;
  }

  /// Returns the counts of no part.
  public static Counts none() {
    return NONE;
  }

  /// Returns the counts of one part.
  public static Counts one(long elements) {
    return each(1, elements);
  }

  /// Returns the counts of equal parts.
  ///
  /// @throws IllegalArgumentException if elements are negative, or so many that their sum is no
  ///   `long`
  public static Counts each(long parts, long elements) {
    check(elements);
    if (parts > 0 && elements > Long.MAX_VALUE / parts) {
      throw new IllegalArgumentException(
          "counts are too many elements in sum: parts=%d, elementsOfEach=%d, most=%d"
              .formatted(parts, elements, Long.MAX_VALUE));
    }
    return new Counts(parts, elements, null);
  }

  /// Returns the counts of parts, in order.
  ///
  /// @throws IllegalArgumentException if a count is negative, or the sum of all is no `long`
  public static Counts of(List<Long> elements) {
    if (elements.isEmpty()) {
      return NONE;
    }
    long first = elements.getFirst();
    boolean even = true;
    long[] starts = new long[elements.size() + 1];
    for (int part = 0; part < elements.size(); part++) {
      long count = elements.get(part);
      check(count);
      even &= count == first;
      if (count > Long.MAX_VALUE - starts[part]) {
        throw new IllegalArgumentException(
            "counts are too many elements in sum: part=%d, count=%d, elementsBefore=%d, most=%d"
                .formatted(part, count, starts[part], Long.MAX_VALUE));
      }
      starts[part + 1] = starts[part] + count;
    }
    return even ? each(elements.size(), first) : new Counts(elements.size(), -1, starts);
  }

  private static void check(long elements) {
    if (elements < 0) {
      throw new IllegalArgumentException("count is negative: count=" + elements);
    }
  }

  /// Returns the number of parts.
  public long size() {
    return size;
  }

  /// Returns the number of elements of a part.
  public long get(long part) {
    return starts == null ? each : starts[(int) part + 1] - starts[(int) part];
  }

  /// Returns where a part starts: the sum of the counts before it.
  public long start(long part) {
    return starts == null ? part * each : starts[(int) part];
  }

  /// Returns the sum of all counts.
  public long total() {
    return start(size);
  }

  /// Returns whether all parts have as many elements as the first.
  public boolean areEqual() {
    return starts == null;
  }

  @Override
  public boolean equals(@Nullable Object other) {
    return other instanceof Counts counts
        && size == counts.size
        && each == counts.each
        && Arrays.equals(starts, counts.starts);
  }

  @Override
  public int hashCode() {
    return 31 * Long.hashCode(size * 31 + each) + Arrays.hashCode(starts);
  }

  @Override
  public String toString() {
    if (starts == null) {
      return size + "x" + each;
    }
    StringBuilder text = new StringBuilder("[").append(get(0));
    for (int part = 1; part < size; part++) {
      text.append(", ").append(get(part));
    }
    return text.append(']').toString();
  }
}
