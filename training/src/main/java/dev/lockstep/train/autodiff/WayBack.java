package dev.lockstep.train.autodiff;

import dev.lockstep.graph.Value;
import java.util.Set;

/// What a model says of the way back through it.
///
/// @param recomputed results of nodes that are computed again where the way back reads them; a node
///   whose operands are among them computes those again too
/// @param rounded float32 results of nodes whose gradients are rounded to bfloat16 before they flow
///   on
public record WayBack(Set<Value> recomputed, Set<Value> rounded) {
  /// Everything is kept, and nothing rounded.
  public static final WayBack PLAIN = new WayBack(Set.of(), Set.of());

  /// Copies the sets.
  public WayBack {
    recomputed = Set.copyOf(recomputed);
    rounded = Set.copyOf(rounded);
  }
}
