package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Value;
import dev.lockstep.train.nn.Initializer;
import dev.lockstep.train.nn.LinearLayer;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import java.util.stream.Stream;

/// GPT-2's MLP, which every token goes through.
///
/// @param hidden `[C, 4C]`; column-parallel under tensor parallelism
/// @param output `[4C, C]`; row-parallel
record DenseFeedForward(LinearLayer hidden, LinearLayer output) implements FeedForward {
  /// Makes the MLP of block `index` with the names that Hugging Face uses.
  static DenseFeedForward of(GptShape shape, int index, int tensorBlocks) {
    String prefix = TransformerBlock.prefix(index) + "mlp.";
    int c = shape.width();
    int wide = GptShape.MLP_FACTOR * c;
    Blocks blocks = new Blocks(1, tensorBlocks);
    return new DenseFeedForward(
        TransformerBlock.columnParallel(
            prefix + "c_fc", c, wide, blocks, new Initializer.Normal(GptModel.DEVIATION)),
        TransformerBlock.rowParallel(
            prefix + "c_proj", wide, c, blocks, TransformerBlock.residual(shape.layers())));
  }

  @Override
  public Value apply(ModelTrace trace, Value x) {
    return output.apply(trace, trace.one(new Composite.Gelu(), hidden.apply(trace, x)));
  }

  @Override
  public Stream<Parameter> parameters() {
    return Stream.concat(hidden.parameters(), output.parameters());
  }
}
