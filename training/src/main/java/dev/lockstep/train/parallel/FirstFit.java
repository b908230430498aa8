package dev.lockstep.train.parallel;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Where values lie that live for a while: memory is used again by those that are made after.
///
/// @param offsets first byte by name
/// @param bytes size of the memory
public record FirstFit(Map<String, Long> offsets, long bytes) {
  /// A value from the time at which it is made to that at which it is last read.
  ///
  /// @param name of the value, unique
  /// @param bytes size, a multiple of 64
  public record Life(String name, long bytes, int made, int read) {}

  /// Copies the map.
  public FirstFit {
    offsets = Map.copyOf(offsets);
  }

  /// Places values: each at the first gap that it fits, in the order in which they are made.
  public static FirstFit of(List<Life> values) {
    List<Life> lives = new ArrayList<>(values);
    lives.sort(Comparator.comparingInt(Life::made));
    Map<String, Long> offsets = new LinkedHashMap<>();
    List<Life> placed = new ArrayList<>();
    long total = 0;
    for (Life life : lives) {
      placed.removeIf(other -> other.read < life.made);
      placed.sort(Comparator.comparingLong(other -> offsets.getOrDefault(other.name, 0L)));
      long at = 0;
      for (Life other : placed) {
        long start = offsets.getOrDefault(other.name, 0L);
        if (at + life.bytes <= start) {
          break;
        }
        at = Math.max(at, start + other.bytes);
      }
      offsets.put(life.name, at);
      placed.add(life);
      total = Math.max(total, at + life.bytes);
    }
    return new FirstFit(offsets, total);
  }
}
