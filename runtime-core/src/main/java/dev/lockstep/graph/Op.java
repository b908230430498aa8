package dev.lockstep.graph;

/// An operation of a [Graph]: immutable data. Every consumer dispatches by an exhaustive `switch`,
/// so that a new op does not compile until all know it.
public sealed interface Op permits Primitive, Composite {
  /// Returns the op's name in printed graphs, for example `MatMul`.
  default String label() {
    return getClass().getSimpleName();
  }
}
