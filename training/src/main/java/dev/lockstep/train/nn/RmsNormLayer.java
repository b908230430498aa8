package dev.lockstep.train.nn;

import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Value;
import java.util.stream.Stream;

/// RMS norm over the features.
///
/// @param gain `[C]`
/// @param epsilon added to the mean square
public record RmsNormLayer(Parameter gain, float epsilon) {
  /// Adds the layer.
  ///
  /// @param x `[…, C]`
  /// @return `[…, C]`
  public Value apply(ModelTrace trace, Value x) {
    return trace.all(new Composite.RmsNorm(epsilon), x, trace.parameter(gain)).getFirst();
  }

  /// Returns the gain.
  public Stream<Parameter> parameters() {
    return Stream.of(gain);
  }
}
