package dev.lockstep.collective.request;

/// What a reducing collective promises about its bits.
public enum Mode {
  /// Contributions are joined by the lane tree T and nothing else: the same bits on any number of
  /// ranks, by any algorithm and over any transport.
  SAME_BITS,
  /// Contributions may be joined in any order: the same bits on every rank of one call, but others
  /// with another number of ranks or another algorithm.
  RELAXED
}
