package dev.lockstep.transport;

/// What goes wrong on a [FaultyTransport], at random by a seed.
///
/// @param seed of everything that is random
/// @param delayedPolls a link that has moved something stands still for up to so many polls; links
///   are delayed each for itself, so what comes over different links comes in any order
/// @param backPressuredPercent how many posts of a hundred are answered by back pressure
/// @param cutsMessages whether messages travel in pieces of random lengths, one at a time
/// @param corruptsAfter how many transfers a rank's receiving links complete before bits on their
///   wires are flipped
/// @param diesAfter how many transfers a rank's links complete before all of them close
/// @param faultyRank the rank whose links corrupt or die; delays and cuts are everywhere
public record Faults(
    long seed,
    int delayedPolls,
    int backPressuredPercent,
    boolean cutsMessages,
    long corruptsAfter,
    long diesAfter,
    int faultyRank) {
  /// Returns no faults.
  public static Faults none() {
    return new Faults(0, 0, 0, false, Long.MAX_VALUE, Long.MAX_VALUE, -1);
  }

  /// Returns a wire that is slow, full and reorders between links, but loses nothing.
  public static Faults unsteady(long seed) {
    return new Faults(seed, 5, 20, true, Long.MAX_VALUE, Long.MAX_VALUE, -1);
  }

  /// Returns these faults and flipped bits on what a rank receives.
  public Faults withCorruption(int rank, long afterTransfers) {
    return new Faults(
        seed, delayedPolls, backPressuredPercent, cutsMessages, afterTransfers, diesAfter, rank);
  }

  /// Returns these faults and the end of all of a rank's links.
  public Faults withDeath(int rank, long afterTransfers) {
    return new Faults(
        seed,
        delayedPolls,
        backPressuredPercent,
        cutsMessages,
        corruptsAfter,
        afterTransfers,
        rank);
  }
}
