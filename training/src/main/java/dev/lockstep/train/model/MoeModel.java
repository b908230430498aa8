package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Value;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import java.util.List;

/// GPT-2 with routed experts in place of each block's MLP (Fedus et al., 2021; Lepikhin et al.,
/// 2020).
public final class MoeModel implements LanguageModel {
  private final MoeShape shape;
  private final GptModel gpt;

  /// Lays out a model.
  ///
  /// @param tensorBlocks into how many blocks sums over features and vocabulary are cut
  public MoeModel(MoeShape shape, int tensorBlocks) {
    this.shape = shape;
    this.gpt = new GptModel(shape.gpt(), tensorBlocks, index -> RoutedExperts.of(shape, index));
  }

  @Override
  public MoeShape shape() {
    return shape;
  }

  @Override
  public Blocks vocabularyBlocks() {
    return gpt.vocabularyBlocks();
  }

  @Override
  public List<Parameter> parameters() {
    return gpt.parameters();
  }

  @Override
  public Value logits(ModelTrace trace, Value tokens, Recompute recompute) {
    return gpt.logits(trace, tokens, recompute);
  }
}
