package dev.lockstep.train.placement;

import dev.lockstep.train.placement.Placement.Shard;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/// How a program is to lie over an axis.
///
/// @param inputs placements of inputs; what is not named is whole on every rank
/// @param outputs wanted placements of outputs; what is not named is wanted whole
/// @param asTheyLie outputs that are wanted as they come
/// @param cut inputs that lie whole in memory and of which each rank reads its part
/// @param tokens how tokens are spread; empty where every rank has all of them
public record AxisWishes(
    Map<String, Placement> inputs,
    Map<String, Placement> outputs,
    Set<String> asTheyLie,
    Map<String, Shard> cut,
    Optional<TokenSplit> tokens) {
  /// Copies the collections.
  public AxisWishes {
    inputs = Map.copyOf(inputs);
    outputs = Map.copyOf(outputs);
    asTheyLie = Set.copyOf(asTheyLie);
    cut = Map.copyOf(cut);
  }

  /// Returns wishes for inputs and outputs alone.
  public static AxisWishes of(Map<String, Placement> inputs, Map<String, Placement> outputs) {
    return new AxisWishes(inputs, outputs, Set.of(), Map.of(), Optional.empty());
  }
}
