package dev.lockstep.collective.request;

/// The collective operations. Codes and labels are part of fingerprints and never change meaning.
public enum CollectiveKind {
  /// Every rank gets the reduction of all contributions.
  ALL_REDUCE(1, "all_reduce", true),
  /// Rank `r` gets the `r`-th part of the reduction of all contributions.
  REDUCE_SCATTER(2, "reduce_scatter", true),
  /// Every rank gets the parts of all ranks, one after another.
  ALL_GATHER(3, "all_gather", false),
  /// Every rank gets the root's elements.
  BROADCAST(4, "broadcast", false),
  /// The root gets the reduction of all contributions.
  REDUCE(5, "reduce", true),
  /// Rank `r` gets the `r`-th part of every rank's elements.
  ALL_TO_ALL(6, "alltoall", false),
  /// The root gets the parts of all ranks, one after another.
  GATHER(7, "gather", false),
  /// Rank `r` gets the `r`-th part of the root's elements.
  SCATTER(8, "scatter", false),
  /// No rank leaves before every rank has entered.
  BARRIER(9, "barrier", false),
  /// Ranks send their elements to chosen ones, as a rule each to the next, and get those of others.
  SEND_RECEIVE(10, "sendrecv", false);

  private final byte code;
  private final String label;
  private final boolean reduces;

  CollectiveKind(int code, String label, boolean reduces) {
    this.code = (byte) code;
    this.label = label;
    this.reduces = reduces;
  }

  /// Returns the number in a message's envelope.
  public byte code() {
    return code;
  }

  /// Returns the name in messages and benchmark tables, nccl-tests' where it has one.
  public String label() {
    return label;
  }

  /// Returns whether contributions are joined by a reduce op.
  public boolean reduces() {
    return reduces;
  }

  /// Returns whether one rank gives or gets what others do not.
  public boolean hasRoot() {
    return switch (this) {
      case BROADCAST, REDUCE, GATHER, SCATTER -> true;
      case ALL_REDUCE, REDUCE_SCATTER, ALL_GATHER, ALL_TO_ALL, BARRIER, SEND_RECEIVE -> false;
    };
  }

  /// Returns whether each rank has a part of the larger buffer of its own.
  public boolean isInParts() {
    return switch (this) {
      case REDUCE_SCATTER, ALL_GATHER, ALL_TO_ALL, GATHER, SCATTER -> true;
      case ALL_REDUCE, BROADCAST, REDUCE, BARRIER, SEND_RECEIVE -> false;
    };
  }
}
