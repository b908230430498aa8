package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Initializer;
import dev.lockstep.train.nn.LayerNormLayer;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/// GPT-2: its parameters, under the names and in the orientations of Hugging Face's
/// `GPT2LMHeadModel`, and its forward pass.
///
/// Shapes: `B` sequences, `T` positions, `C` features, `V` vocabulary.
public final class GptModel implements LanguageModel {
  /// Standard deviation of the initial weights.
  static final float DEVIATION = 0.02f;

  private final GptShape shape;
  private final Vocabulary vocabulary;
  private final Parameter positionEmbedding;
  private final List<TransformerBlock> blocks;
  private final LayerNormLayer finalNorm;

  /// Lays out a model.
  ///
  /// @param tensorBlocks into how many blocks sums over features and vocabulary are cut
  public GptModel(GptShape shape, int tensorBlocks) {
    this(shape, tensorBlocks, index -> DenseFeedForward.of(shape, index, tensorBlocks));
  }

  /// Lays out a model with other layers than GPT-2's after the attention.
  ///
  /// @param feedForward makes those of a block, by its number
  GptModel(GptShape shape, int tensorBlocks, IntFunction<FeedForward> feedForward) {
    this.shape = shape;
    vocabulary = new Vocabulary(shape, tensorBlocks, "transformer.wte.weight", "lm_head.weight");
    positionEmbedding =
        new Parameter(
            "transformer.wpe.weight",
            Shape.of(shape.context(), shape.width()),
            new Initializer.Normal(DEVIATION),
            Split.NONE);
    blocks =
        IntStream.range(0, shape.layers())
            .mapToObj(
                index -> TransformerBlock.of(shape, index, tensorBlocks, feedForward.apply(index)))
            .toList();
    finalNorm = norm("transformer.ln_f", shape.width());
  }

  static LayerNormLayer norm(String name, int width) {
    return new LayerNormLayer(
        new Parameter(name + ".weight", Shape.of(width), new Initializer.Constant(1), Split.NONE),
        new Parameter(name + ".bias", Shape.of(width), new Initializer.Constant(0), Split.NONE),
        GptShape.EPSILON);
  }

  @Override
  public GptShape shape() {
    return shape;
  }

  @Override
  public Blocks vocabularyBlocks() {
    return vocabulary.blocks();
  }

  @Override
  public List<Parameter> parameters() {
    List<Parameter> all = new ArrayList<>(List.of(vocabulary.embedding(), positionEmbedding));
    blocks.forEach(block -> block.parameters().forEach(all::add));
    finalNorm.parameters().forEach(all::add);
    vocabulary.addHead(all);
    return List.copyOf(all);
  }

  @Override
  public Value logits(ModelTrace trace, Value tokens, Recompute recompute) {
    Shape hidden =
        Shape.of(tokens.type().shape().dim(0), tokens.type().shape().dim(1), shape.width());
    Value words = trace.rows(vocabulary.embedding(), tokens);
    Value positions =
        trace.one(
            new Primitive.BroadcastTo(hidden, List.of(1, 2)), trace.parameter(positionEmbedding));
    Value x = trace.dropout(trace.one(new Primitive.Add(), words, positions), 0);
    for (TransformerBlock block : blocks) {
      if (!block.equals(blocks.getFirst())) {
        trace.border(x);
      }
      x = block.apply(trace, x, recompute);
    }
    return vocabulary.logits(trace, finalNorm.apply(trace, x));
  }
}
