package dev.lockstep.collective.execute;

import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/// Whom a rank that waits for long looks at: a few at a time, so that ranks which all wait for one
/// ask the store no more the more they are. Confined to whoever moves the communicator.
final class Rotation {
  /// How many of the ranks that are waited for, and how many of all, are looked at together.
  static final int FEW = 4;

  private int next;

  /// Returns whom to look at now; in time everybody, and those that are waited for more often.
  ///
  /// @param missing ranks that are waited for
  /// @param ranks how many there are
  /// @param own who looks
  Set<Integer> few(List<Integer> missing, int ranks, int own) {
    Set<Integer> chosen = new LinkedHashSet<>();
    for (int i = 0; i < FEW; i++, next++) {
      if (!missing.isEmpty()) {
        chosen.add(missing.get(Math.floorMod(next, missing.size())));
      }
      chosen.add(Math.floorMod(next, ranks));
    }
    chosen.remove(own);
    return chosen;
  }
}
