package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Initializer;
import dev.lockstep.train.nn.LayerNormLayer;
import dev.lockstep.train.nn.LinearLayer;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import java.util.stream.Stream;

/// One block of GPT-2: attention and MLP, each after a layer norm and added to its input.
///
/// @param index number of the block, from 0
/// @param heads attention heads
/// @param attentionNorm layer norm before the attention
/// @param queryKeyValue the packed projections `[C, 3C]`; column-parallel under tensor parallelism
/// @param attentionOutput `[C, C]`; row-parallel
/// @param mlpNorm layer norm before the MLP
/// @param mlpHidden `[C, 4C]`; column-parallel
/// @param mlpOutput `[4C, C]`; row-parallel
record TransformerBlock(
    int index,
    int heads,
    LayerNormLayer attentionNorm,
    LinearLayer queryKeyValue,
    LinearLayer attentionOutput,
    LayerNormLayer mlpNorm,
    LinearLayer mlpHidden,
    LinearLayer mlpOutput) {

  /// Makes block `index` with the names that Hugging Face uses.
  static TransformerBlock of(GptShape shape, int index, int tensorBlocks) {
    String prefix = "transformer.h." + index + ".";
    int c = shape.width();
    int hidden = GptShape.MLP_FACTOR * c;
    Blocks blocks = new Blocks(1, tensorBlocks);
    Initializer wide = new Initializer.Normal(GptModel.DEVIATION);
    Initializer residual =
        new Initializer.Normal(
            (float) (GptModel.DEVIATION / StrictMath.sqrt(2.0 * shape.layers())));
    return new TransformerBlock(
        index,
        shape.heads(),
        GptModel.norm(prefix + "ln_1", c),
        columnParallel(prefix + "attn.c_attn", c, 3 * c, new Blocks(3, tensorBlocks), wide),
        rowParallel(prefix + "attn.c_proj", c, c, blocks, residual),
        GptModel.norm(prefix + "ln_2", c),
        columnParallel(prefix + "mlp.c_fc", c, hidden, blocks, wide),
        rowParallel(prefix + "mlp.c_proj", hidden, c, blocks, residual));
  }

  static LinearLayer columnParallel(
      String name, int in, int out, Blocks blocks, Initializer start) {
    return new LinearLayer(
        new Parameter(name + ".weight", Shape.of(in, out), start, new Split(1, blocks)),
        new Parameter(
            name + ".bias", Shape.of(out), new Initializer.Constant(0), new Split(0, blocks)),
        Blocks.WHOLE,
        blocks);
  }

  static LinearLayer rowParallel(String name, int in, int out, Blocks blocks, Initializer start) {
    return new LinearLayer(
        new Parameter(name + ".weight", Shape.of(in, out), start, new Split(0, blocks)),
        new Parameter(name + ".bias", Shape.of(out), new Initializer.Constant(0), Split.NONE),
        blocks,
        Blocks.WHOLE);
  }

  /// Adds the block.
  ///
  /// @param x `[B, T, C]`
  /// @param recompute which of its values are computed again on the way back
  /// @return `[B, T, C]`
  Value apply(ModelTrace trace, Value x, Recompute recompute) {
    return switch (recompute) {
      case NONE -> mlp(trace, attention(trace, x));
      case ATTENTION -> mlp(trace, trace.recomputed(() -> attention(trace, x)));
      case BLOCK -> trace.recomputed(() -> mlp(trace, attention(trace, x)));
    };
  }

  private Value attention(ModelTrace trace, Value x) {
    Value qkv = queryKeyValue.apply(trace, attentionNorm.apply(trace, x));
    Value mixed = trace.all(new Composite.CausalAttention(heads), qkv).getFirst();
    Value branch = trace.dropout(attentionOutput.apply(trace, mixed), 2 * index + 1);
    return trace.one(new Primitive.Add(), x, branch);
  }

  private Value mlp(ModelTrace trace, Value x) {
    Value hidden = mlpHidden.apply(trace, mlpNorm.apply(trace, x));
    Value activated = trace.one(new Composite.Gelu(), hidden);
    Value branch = trace.dropout(mlpOutput.apply(trace, activated), 2 * index + 2);
    return trace.one(new Primitive.Add(), x, branch);
  }

  /// Returns the parameters in program order.
  Stream<Parameter> parameters() {
    return Stream.of(
            attentionNorm.parameters(),
            queryKeyValue.parameters(),
            attentionOutput.parameters(),
            mlpNorm.parameters(),
            mlpHidden.parameters(),
            mlpOutput.parameters())
        .flatMap(parameters -> parameters);
  }
}
