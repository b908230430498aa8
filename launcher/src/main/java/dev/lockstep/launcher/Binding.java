package dev.lockstep.launcher;

/// Where a node's ranks may run.
public enum Binding {
  /// Wherever the system puts them: it may keep two of them on one core for a while.
  NONE,

  /// Each on cores of its own, all threads of a core together: an equal share of those that this
  /// process may run on, in the system's order. Linux alone, by `taskset`; a job of more ranks than
  /// cores cannot have it.
  CORES;

  /// Returns [#CORES] where this machine has a core for each of so many ranks and can bind them,
  /// else [#NONE].
  public static Binding ofCoresIfPossible(int ranks) {
    return CoreShares.refusal(ranks).isEmpty() && CoreShares.works(ranks) ? CORES : NONE;
  }
}
