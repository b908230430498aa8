package dev.lockstep.train.nn;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Value;
import java.util.stream.Stream;

/// `x·weight + bias` with `weight [in, out]`.
///
/// @param weight `[in, out]`
/// @param bias `[out]`
/// @param contraction how the sum over `in` is cut
/// @param inputGradient how the input's gradient, a sum over `out`, is cut
public record LinearLayer(
    Parameter weight, Parameter bias, Blocks contraction, Blocks inputGradient) {
  /// Adds the layer; its input and its result are [ModelTrace#narrowed].
  ///
  /// @param x `[…, in]`
  /// @return `[…, out]`
  public Value apply(ModelTrace trace, Value x) {
    Value columns = trace.parameter(weight);
    trace.splitColumns(columns, inputGradient);
    Value rows = trace.narrowed(x);
    Composite.Linear linear = new Composite.Linear(false, contraction);
    return trace.narrowed(trace.one(linear, rows, columns, trace.parameter(bias)));
  }

  /// Returns weight and bias.
  public Stream<Parameter> parameters() {
    return Stream.of(weight, bias);
  }
}
