package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Initializer;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.ProjectionLayer;
import dev.lockstep.train.nn.RmsNormLayer;
import java.util.stream.Stream;

/// One block of Llama: grouped attention with rotary positions and a gated MLP, each after an RMS
/// norm and added to its input.
///
/// With `K` the features of all heads of keys and `F` those of the MLP's hidden layer:
///
/// @param index number of the block, from 0
/// @param shape size of the model
/// @param attentionNorm norm before the attention
/// @param query `[C, C]`; column-parallel under tensor parallelism, as the next two
/// @param key `[K, C]`
/// @param value `[K, C]`
/// @param attentionOutput `[C, C]`; row-parallel
/// @param mlpNorm norm before the MLP
/// @param gate `[F, C]`; column-parallel, as the next
/// @param up `[F, C]`
/// @param down `[C, F]`; row-parallel
record LlamaBlock(
    int index,
    LlamaShape shape,
    RmsNormLayer attentionNorm,
    ProjectionLayer query,
    ProjectionLayer key,
    ProjectionLayer value,
    ProjectionLayer attentionOutput,
    RmsNormLayer mlpNorm,
    ProjectionLayer gate,
    ProjectionLayer up,
    ProjectionLayer down) {

  /// Makes block `index` with the names that Hugging Face uses.
  static LlamaBlock of(LlamaShape shape, int index, int tensorBlocks) {
    String prefix = "model.layers." + index + ".";
    int c = shape.width();
    Blocks blocks = new Blocks(1, tensorBlocks);
    Initializer wide = new Initializer.Normal(GptModel.DEVIATION);
    Initializer residual =
        new Initializer.Normal(
            (float) (GptModel.DEVIATION / StrictMath.sqrt(2.0 * shape.layers())));
    String attention = prefix + "self_attn.";
    return new LlamaBlock(
        index,
        shape,
        LlamaModel.norm(prefix + "input_layernorm.weight", shape),
        columnParallel(attention + "q_proj", c, c, blocks, wide),
        columnParallel(attention + "k_proj", c, shape.keyValueWidth(), blocks, wide),
        columnParallel(attention + "v_proj", c, shape.keyValueWidth(), blocks, wide),
        rowParallel(attention + "o_proj", c, c, blocks, residual),
        LlamaModel.norm(prefix + "post_attention_layernorm.weight", shape),
        columnParallel(prefix + "mlp.gate_proj", c, shape.hidden(), blocks, wide),
        columnParallel(prefix + "mlp.up_proj", c, shape.hidden(), blocks, wide),
        rowParallel(prefix + "mlp.down_proj", shape.hidden(), c, blocks, residual));
  }

  private static ProjectionLayer columnParallel(
      String name, int in, int out, Blocks blocks, Initializer start) {
    return new ProjectionLayer(
        new Parameter(name + ".weight", Shape.of(out, in), start, new Split(0, blocks)),
        Blocks.WHOLE,
        blocks);
  }

  private static ProjectionLayer rowParallel(
      String name, int in, int out, Blocks blocks, Initializer start) {
    return new ProjectionLayer(
        new Parameter(name + ".weight", Shape.of(out, in), start, new Split(1, blocks)),
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
    Value normal = attentionNorm.apply(trace, x);
    Composite.Rotary turn =
        new Composite.Rotary(shape.headSize(), shape.rotaryBase(), 0, /* inverse= */ false);
    Value q = trace.one(turn, query.apply(trace, normal));
    Value k = trace.one(turn, key.apply(trace, normal));
    Value v = value.apply(trace, normal);
    Composite attention = new Composite.GroupedAttention(shape.heads(), shape.keyValueHeads(), 0);
    Value mixed = trace.all(attention, q, k, v).getFirst();
    Value branch = trace.dropout(attentionOutput.apply(trace, mixed), 2 * index + 1);
    return trace.one(new Primitive.Add(), x, branch);
  }

  private Value mlp(ModelTrace trace, Value x) {
    Value normal = mlpNorm.apply(trace, x);
    Value gated =
        trace
            .all(new Composite.SwiGlu(), gate.apply(trace, normal), up.apply(trace, normal))
            .getFirst();
    Value branch = trace.dropout(down.apply(trace, gated), 2 * index + 2);
    return trace.one(new Primitive.Add(), x, branch);
  }

  /// Returns the parameters in program order.
  Stream<Parameter> parameters() {
    return Stream.of(
            attentionNorm.parameters(),
            query.parameters(),
            key.parameters(),
            value.parameters(),
            attentionOutput.parameters(),
            mlpNorm.parameters(),
            gate.parameters(),
            up.parameters(),
            down.parameters())
        .flatMap(parameters -> parameters);
  }
}
