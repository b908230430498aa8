package dev.lockstep.collective;

import dev.lockstep.transport.CurrentCore;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.function.Supplier;

/// Keeps the thread of one rank on a core that no other rank of its host is kept on, so that ranks
/// that no launcher has bound time links and not turns on a core: while compilers have the other
/// cores the scheduler keeps ranks together. Confined to that thread; what it starts meanwhile
/// would stay on the core, so it is let go for whatever may start a thread.
final class OwnCore implements AutoCloseable {
  private final BitSet allowed = CurrentCore.allowed();
  private final BitSet place = new BitSet(); // empty: the thread is where the scheduler wants it

  /// Returns the cores that the thread may run on when it is not kept.
  BitSet allowed() {
    return (BitSet) allowed.clone();
  }

  /// Keeps the thread on a core from now on, if the system does so. A virtual thread goes on in
  /// another thread of the system whenever it has waited, so it is not kept.
  void keep(int core) {
    place.clear();
    place.set(core);
    if (Thread.currentThread().isVirtual() || !CurrentCore.keepOn(place)) {
      place.clear();
    }
  }

  /// Does something on whichever cores the scheduler wants, and comes back.
  <T> T whileFree(Supplier<T> work) {
    if (place.isEmpty()) {
      return work.get();
    }
    var _ = CurrentCore.keepOn(allowed);
    try {
      return work.get();
    } finally {
      var _ = CurrentCore.keepOn(place);
    }
  }

  /// Lets the thread go.
  @Override
  public void close() {
    if (!place.isEmpty()) {
      var _ = CurrentCore.keepOn(allowed);
      place.clear();
    }
  }

  /// Returns a core for each rank: the one that it is on, unless a rank before it has that, else
  /// the first that it may run on and nobody has; nothing where some rank gets none.
  ///
  /// @param cores on which each is now, or [CurrentCore#UNKNOWN]
  /// @param allowed those that each may run on
  static List<Integer> places(int[] cores, List<BitSet> allowed) {
    BitSet taken = new BitSet();
    boolean[] stays = new boolean[cores.length];
    for (int rank = 0; rank < cores.length; rank++) {
      int core = cores[rank];
      stays[rank] = core >= 0 && allowed.get(rank).get(core) && !taken.get(core);
      if (stays[rank]) {
        taken.set(core);
      }
    }
    List<Integer> places = new ArrayList<>();
    for (int rank = 0; rank < cores.length; rank++) {
      BitSet free = (BitSet) allowed.get(rank).clone();
      free.andNot(taken);
      if (!stays[rank] && free.isEmpty()) {
        return List.of();
      }
      int core = stays[rank] ? cores[rank] : free.nextSetBit(0);
      taken.set(core);
      places.add(core);
    }
    return places;
  }
}
