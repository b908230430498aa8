package dev.lockstep.train.nn;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Value;
import java.util.stream.Stream;

/// Layer norm over the features.
///
/// @param gain `[C]`
/// @param bias `[C]`
/// @param epsilon added to the variance
public record LayerNormLayer(Parameter gain, Parameter bias, float epsilon) {
  /// Adds the layer.
  ///
  /// @param x `[…, C]`
  /// @return `[…, C]`
  public Value apply(ModelTrace trace, Value x) {
    return trace
        .all(new Composite.LayerNorm(epsilon), x, trace.parameter(gain), trace.parameter(bias))
        .getFirst();
  }

  /// Returns gain and bias.
  public Stream<Parameter> parameters() {
    return Stream.of(gain, bias);
  }
}
