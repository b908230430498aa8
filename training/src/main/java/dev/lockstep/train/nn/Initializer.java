package dev.lockstep.train.nn;

/// How a parameter starts.
public sealed interface Initializer {
  /// Every element `value`.
  record Constant(float value) implements Initializer {}

  /// Normally distributed around 0, element `i` drawn by counter from (seed, name, `i`).
  record Normal(float deviation) implements Initializer {}
}
