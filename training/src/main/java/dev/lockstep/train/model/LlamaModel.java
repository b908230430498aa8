package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.Split;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.Value;
import dev.lockstep.tensor.Shape;
import dev.lockstep.train.nn.Initializer;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import dev.lockstep.train.nn.RmsNormLayer;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/// Llama: its parameters, under the names and in the orientations of Hugging Face's
/// `LlamaForCausalLM`, and its forward pass.
final class LlamaModel implements LanguageModel {
  private final LlamaShape shape;
  private final int tensorBlocks;
  private final Parameter tokenEmbedding;
  private final List<LlamaBlock> blocks;
  private final RmsNormLayer finalNorm;
  private final Parameter head;

  /// Lays out a model.
  ///
  /// @param tensorBlocks into how many blocks sums over features and vocabulary are cut
  LlamaModel(LlamaShape shape, int tensorBlocks) {
    this.shape = shape;
    this.tensorBlocks = tensorBlocks;
    tokenEmbedding = vocabularyTable("model.embed_tokens.weight");
    blocks =
        IntStream.range(0, shape.layers())
            .mapToObj(index -> LlamaBlock.of(shape, index, tensorBlocks))
            .toList();
    finalNorm = norm("model.norm.weight", shape);
    head = shape.tiedHead() ? tokenEmbedding : vocabularyTable("lm_head.weight");
  }

  private Parameter vocabularyTable(String name) {
    return new Parameter(
        name,
        Shape.of(shape.vocabulary(), shape.width()),
        new Initializer.Normal(GptModel.DEVIATION),
        new Split(0, vocabularyBlocks()));
  }

  static RmsNormLayer norm(String name, LlamaShape shape) {
    return new RmsNormLayer(
        new Parameter(name, Shape.of(shape.width()), new Initializer.Constant(1), Split.NONE),
        shape.epsilon());
  }

  @Override
  public LlamaShape shape() {
    return shape;
  }

  @Override
  public Blocks vocabularyBlocks() {
    return new Blocks(1, tensorBlocks);
  }

  @Override
  public List<Parameter> parameters() {
    List<Parameter> all = new ArrayList<>(List.of(tokenEmbedding));
    blocks.forEach(block -> block.parameters().forEach(all::add));
    finalNorm.parameters().forEach(all::add);
    if (!shape.tiedHead()) {
      all.add(head);
    }
    return List.copyOf(all);
  }

  @Override
  public Value logits(ModelTrace trace, Value tokens, Recompute recompute) {
    Value x = trace.dropout(trace.rows(tokenEmbedding, tokens), 0);
    for (LlamaBlock block : blocks) {
      if (!block.equals(blocks.getFirst())) {
        trace.border(x);
      }
      x = block.apply(trace, x, recompute);
    }
    x = trace.narrowed(finalNorm.apply(trace, x));
    Value weight = shape.tiedHead() ? trace.parameter(head, "head") : trace.parameter(head);
    trace.splitColumns(weight, vocabularyBlocks());
    return trace.narrowedOnTheWayBack(
        trace.one(new Primitive.MatMul(false, true, Blocks.WHOLE), x, weight));
  }
}
