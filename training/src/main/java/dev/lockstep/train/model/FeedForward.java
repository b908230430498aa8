package dev.lockstep.train.model;

import dev.lockstep.graph.Value;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import java.util.stream.Stream;

/// What follows the attention of a transformer block, between its norm and the residual sum.
sealed interface FeedForward permits DenseFeedForward, RoutedExperts {
  /// Adds the layer.
  ///
  /// @param x `[B, T, C]`
  /// @return `[B, T, C]`
  Value apply(ModelTrace trace, Value x);

  /// Returns the parameters in program order.
  Stream<Parameter> parameters();
}
