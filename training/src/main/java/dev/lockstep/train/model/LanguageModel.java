package dev.lockstep.train.model;

import dev.lockstep.graph.Blocks;
import dev.lockstep.graph.Value;
import dev.lockstep.train.nn.ModelTrace;
import dev.lockstep.train.nn.Parameter;
import java.util.List;

/// A model that says for each position how likely each token is to follow: its parameters and its
/// forward pass.
///
/// Shapes: `B` sequences, `T` positions, `C` features, `V` vocabulary.
public sealed interface LanguageModel permits GptModel, LlamaModel, MlpModel, MoeModel {
  /// Returns the size.
  ModelShape shape();

  /// Returns how sums over the vocabulary are cut.
  Blocks vocabularyBlocks();

  /// Returns the parameters in program order; a tied head is none of its own.
  List<Parameter> parameters();

  /// Adds the forward pass.
  ///
  /// @param tokens I32 `[B, T]`, `T` the whole context
  /// @param recompute which values are computed again on the way back
  /// @return logits `[B, T, V]`
  Value logits(ModelTrace trace, Value tokens, Recompute recompute);
}
