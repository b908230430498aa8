package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Composite.Split;
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
  private final Vocabulary vocabulary;
  private final List<LlamaBlock> blocks;
  private final RmsNormLayer finalNorm;

  /// Lays out a model.
  ///
  /// @param tensorBlocks into how many blocks sums over features and vocabulary are cut
  LlamaModel(LlamaShape shape, int tensorBlocks) {
    this.shape = shape;
    vocabulary = new Vocabulary(shape, tensorBlocks, "model.embed_tokens.weight", "lm_head.weight");
    blocks =
        IntStream.range(0, shape.layers())
            .mapToObj(index -> LlamaBlock.of(shape, index, tensorBlocks))
            .toList();
    finalNorm = norm("model.norm.weight", shape);
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
    return vocabulary.blocks();
  }

  @Override
  public List<Parameter> parameters() {
    List<Parameter> all = new ArrayList<>(List.of(vocabulary.embedding()));
    blocks.forEach(block -> block.parameters().forEach(all::add));
    finalNorm.parameters().forEach(all::add);
    vocabulary.addHead(all);
    return List.copyOf(all);
  }

  @Override
  public Value logits(ModelTrace trace, Value tokens, Recompute recompute) {
    Value x = trace.dropout(trace.rows(vocabulary.embedding(), tokens), 0);
    for (LlamaBlock block : blocks) {
      if (!block.equals(blocks.getFirst())) {
        trace.border(x);
      }
      x = block.apply(trace, x, recompute);
    }
    return vocabulary.logits(trace, finalNorm.apply(trace, x));
  }
}
