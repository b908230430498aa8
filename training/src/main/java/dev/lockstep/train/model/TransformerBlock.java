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

/// One block of GPT-2: attention and what follows it, each after a layer norm and added to its
/// input.
///
/// @param index number of the block, from 0
/// @param heads attention heads
/// @param attentionNorm layer norm before the attention
/// @param queryKeyValue the packed projections `[C, 3C]`; column-parallel under tensor parallelism
/// @param attentionOutput `[C, C]`; row-parallel
/// @param feedForwardNorm layer norm before what follows
/// @param feedForward what follows
record TransformerBlock(
    int index,
    int heads,
    LayerNormLayer attentionNorm,
    LinearLayer queryKeyValue,
    LinearLayer attentionOutput,
    LayerNormLayer feedForwardNorm,
    FeedForward feedForward) {

  /// Makes block `index` with the names that Hugging Face uses.
  static TransformerBlock of(GptShape shape, int index, int tensorBlocks, FeedForward feedForward) {
    String prefix = prefix(index);
    int c = shape.width();
    Initializer wide = new Initializer.Normal(GptModel.DEVIATION);
    Blocks blocks = new Blocks(1, tensorBlocks);
    return new TransformerBlock(
        index,
        shape.heads(),
        GptModel.norm(prefix + "ln_1", c),
        columnParallel(prefix + "attn.c_attn", c, 3 * c, new Blocks(3, tensorBlocks), wide),
        rowParallel(prefix + "attn.c_proj", c, c, blocks, residual(shape.layers())),
        GptModel.norm(prefix + "ln_2", c),
        feedForward);
  }

  /// What the names of a block's parameters start with.
  static String prefix(int index) {
    return "transformer.h." + index + ".";
  }

  /// How weights start whose products are added to the residual stream, which has two such sums per
  /// block.
  static Initializer residual(int layers) {
    return new Initializer.Normal((float) (GptModel.DEVIATION / StrictMath.sqrt(2.0 * layers)));
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
      case NONE -> fed(trace, attention(trace, x));
      case ATTENTION -> fed(trace, trace.recomputed(() -> attention(trace, x)));
      case BLOCK -> trace.recomputed(() -> fed(trace, attention(trace, x)));
    };
  }

  private Value attention(ModelTrace trace, Value x) {
    Value qkv = queryKeyValue.apply(trace, attentionNorm.apply(trace, x));
    Value mixed = trace.all(new Composite.CausalAttention(heads), qkv).getFirst();
    Value branch = trace.dropout(attentionOutput.apply(trace, mixed), 2 * index + 1);
    return trace.one(new Primitive.Add(), x, branch);
  }

  private Value fed(ModelTrace trace, Value x) {
    Value out = feedForward.apply(trace, feedForwardNorm.apply(trace, x));
    return trace.one(new Primitive.Add(), x, trace.dropout(out, 2 * index + 2));
  }

  /// Returns the parameters in program order.
  Stream<Parameter> parameters() {
    return Stream.of(
            attentionNorm.parameters(),
            queryKeyValue.parameters(),
            attentionOutput.parameters(),
            feedForwardNorm.parameters(),
            feedForward.parameters())
        .flatMap(parameters -> parameters);
  }
}
