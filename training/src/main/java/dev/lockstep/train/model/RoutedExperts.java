package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Primitive.MatMul;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Initializer;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import java.util.List;
import java.util.stream.Stream;

/// Several MLPs without biases, of which each token goes through those that its router scores
/// highest; what comes back is added, weighted by the router's probabilities. A token that finds no
/// place at an expert gets nothing from it.
///
/// All experts compute at once, as products of stacks of matrices: `E` experts, `S` places of each.
///
/// @param router `[E, C]`
/// @param up `[E, C, H]`; sums over it, as that of its gradient's squares, are cut by experts
/// @param down `[E, H, C]`, likewise
/// @param shape numbers of experts and places
record RoutedExperts(Parameter router, Parameter up, Parameter down, MoeShape shape)
    implements FeedForward {
  private static final double PERMILLE = 1e-3;

  /// Makes the experts of block `index`.
  static RoutedExperts of(MoeShape shape, int index) {
    String prefix = TransformerBlock.prefix(index) + "moe.";
    long e = shape.experts();
    long c = shape.width();
    long h = shape.hidden();
    Initializer wide = new Initializer.Normal(GptModel.DEVIATION);
    Initializer back = TransformerBlock.residual(shape.layers());
    Split byExpert = new Split(0, new Blocks(1, shape.experts()));
    return new RoutedExperts(
        new Parameter(prefix + "router.weight", Shape.of(e, c), wide, Split.NONE),
        new Parameter(prefix + "experts.up.weight", Shape.of(e, c, h), wide, byExpert, true),
        new Parameter(prefix + "experts.down.weight", Shape.of(e, h, c), back, byExpert, true),
        shape);
  }

  @Override
  public Value apply(ModelTrace trace, Value x) {
    Shape all = x.type().shape();
    long tokens = all.dim(0) * all.dim(1);
    long width = all.dim(2);
    long slots = shape.experts() * shape.capacity(tokens);
    Value rows = trace.narrowed(x);
    Value scores = trace.one(new MatMul(false, true, Blocks.WHOLE), rows, trace.parameter(router));
    ExpertRouting.Routes routes = ExpertRouting.of(trace, scores, shape);
    trace.auxiliary(routes.balance(), shape.balancePermille() * PERMILLE * tokens);
    Value table = trace.one(new Primitive.Reshape(Shape.of(tokens, width)), rows);
    Value seated = trace.one(new Primitive.Gather(), table, routes.tokenAt());
    Value hidden = trace.narrowed(product(trace, seated, up));
    Value activated = trace.narrowed(trace.one(new Composite.Gelu(), hidden));
    Value out = trace.narrowed(product(trace, activated, down));
    Value flat = trace.one(new Primitive.Reshape(Shape.of(slots, width)), out);
    Value found = trace.one(new Primitive.Gather(), flat, routes.slotOf());
    Shape perChoice = Shape.of(shape.expertsPerToken(), tokens, width);
    Value weights =
        trace.one(new Primitive.BroadcastTo(perChoice, List.of(0, 1)), routes.weights());
    Value weighted = trace.one(new Primitive.Mul(), found, weights);
    Value sum = trace.one(new Primitive.ReduceSum(List.of(0), Blocks.WHOLE), weighted);
    return trace.one(new Primitive.Reshape(all), sum);
  }

  private static Value product(ModelTrace trace, Value x, Parameter weight) {
    return trace.one(new MatMul(false, false, Blocks.WHOLE), x, trace.parameter(weight));
  }

  @Override
  public Stream<Parameter> parameters() {
    return Stream.of(router, up, down);
  }
}
