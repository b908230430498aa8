package dev.lockstep.graph;

/// A value of one graph: made once, by an input or by an op (SSA).
///
/// @param id position among the graph's values, from 0
/// @param type element type and shape
public record Value(int id, ValueType type) {
  /// Returns for example `%3: F32[2, 3]`.
  @Override
  public String toString() {
    return "%" + id + ": " + type;
  }
}
