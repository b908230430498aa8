package dev.lockstep.train.nn;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import java.util.stream.Stream;

/// `x·weightᵀ` with `weight [out, in]` and no bias.
///
/// @param weight `[out, in]`
/// @param contraction how the sum over `in` is cut
/// @param inputGradient how the input's gradient, a sum over `out`, is cut
public record ProjectionLayer(Parameter weight, Blocks contraction, Blocks inputGradient) {
  /// Adds the layer; its input and its result are [ModelTrace#narrowed].
  ///
  /// @param x `[…, in]`
  /// @return `[…, out]`
  public Value apply(ModelTrace trace, Value x) {
    Value rows = trace.parameter(weight);
    trace.splitColumns(rows, inputGradient);
    Primitive.MatMul product = new Primitive.MatMul(false, true, contraction);
    return trace.narrowed(trace.one(product, trace.narrowed(x), rows));
  }

  /// Returns the weight.
  public Stream<Parameter> parameters() {
    return Stream.of(weight);
  }
}
