package dev.lockstep.collective.algorithm;

import java.util.ArrayList;
import java.util.List;

/// Elements of a vector in some order: ranges one after another.
final class Stretches {
  /// Neighbouring elements.
  ///
  /// @param start first element
  /// @param elements how many
  record Stretch(long start, long elements) {
    long end() {
      return start + elements;
    }
  }

  private final boolean joins;
  private final List<Stretch> list = new ArrayList<>();
  private long elements;

  /// Makes an empty list.
  ///
  /// @param joins whether ranges that follow each other become one
  Stretches(boolean joins) {
    this.joins = joins;
  }

  /// Adds a range; none if it is empty.
  Stretches add(long start, long length) {
    if (length == 0) {
      return this;
    }
    elements += length;
    if (joins && !list.isEmpty() && list.getLast().end() == start) {
      Stretch last = list.removeLast();
      list.add(new Stretch(last.start(), last.elements() + length));
    } else {
      list.add(new Stretch(start, length));
    }
    return this;
  }

  /// Adds elements of others, counted from their first one.
  Stretches add(Stretches others, long from, long to) {
    long position = 0;
    for (Stretch stretch : others.list) {
      if (position >= to) {
        break;
      }
      long first = Math.max(from, position);
      long end = Math.min(to, position + stretch.elements());
      if (first < end) {
        add(stretch.start() + first - position, end - first);
      }
      position += stretch.elements();
    }
    return this;
  }

  /// Returns the number of elements.
  long elements() {
    return elements;
  }

  /// Returns the ranges in order.
  List<Stretch> list() {
    return list;
  }
}
