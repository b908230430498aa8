package dev.lockstep.collective.verify;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/// One rank's memory of one kind, as stretches of elements of equal history: the value they hold,
/// and who touched them when. A value is an expression and a shift: the element at position `p` is
/// the expression over the contributions' elements `p + shift`.
final class SymbolicMemory {
  /// A write that is under way: nothing is ordered after it.
  static final int UNDER_WAY = Integer.MAX_VALUE;

  /// The writer of a stretch that no peer has written.
  static final int OWNER = -1;

  /// A stretch of elements.
  static final class Stretch {
    int expression = Expressions.UNDEFINED;
    long shift;

    /// Position of the last write among its writer's steps.
    int written;

    /// The rank that wrote last, or [#OWNER].
    int writer = OWNER;

    /// For each rank the position of its last reading step, plus one; null if nobody has read.
    int @Nullable [] read;

    private Stretch copy() {
      Stretch copy = new Stretch();
      copy.expression = expression;
      copy.shift = shift;
      copy.written = written;
      copy.writer = writer;
      copy.read = read == null ? null : read.clone();
      return copy;
    }
  }

  private final String name;
  private final long elements;
  private final TreeMap<Long, Stretch> stretches = new TreeMap<>();

  SymbolicMemory(String name, long elements) {
    this.name = name;
    this.elements = elements;
    stretches.put(0L, new Stretch());
  }

  String name() {
    return name;
  }

  long elements() {
    return elements;
  }

  /// Returns the stretches of `[from, to)`, cut at its ends, by first element.
  Map<Long, Stretch> cut(long from, long to) {
    cutAt(from);
    cutAt(to);
    return stretches.subMap(from, to);
  }

  private void cutAt(long at) {
    Map.Entry<Long, Stretch> containing = stretches.floorEntry(at);
    if (containing != null && containing.getKey() < at && at < elements) {
      stretches.put(at, containing.getValue().copy());
    }
  }

  /// Returns the first elements of the stretches within `[from, to)`, counted from `from`.
  List<Long> borders(long from, long to) {
    List<Long> borders = new ArrayList<>();
    for (long start : cut(from, to).keySet()) {
      borders.add(start - from);
    }
    return borders;
  }

  /// Returns the first element of the stretch after the one that starts at `from`, or null.
  @Nullable Long following(long from) {
    return stretches.higherKey(from);
  }

  /// Returns the stretch that holds an element.
  Stretch at(long position) {
    return stretches.floorEntry(position).getValue();
  }
}
