package dev.lockstep.train.model;

import java.util.List;

/// The size of a model: one record per family. All families are causal language models over `T`
/// positions of a context and a vocabulary of `V` tokens.
public sealed interface ModelShape permits GptShape {
  /// Returns what users call the family, as in `lockstep run gpt`.
  String family();

  /// Returns the family's name in text for people.
  String title();

  /// Returns the number of blocks.
  int layers();

  /// Returns the features of a token.
  int width();

  /// Returns the positions of a window.
  int context();

  /// Returns the number of tokens that there are.
  int vocabulary();

  /// Returns whether the head uses the token embedding's weight.
  boolean tiedHead();

  /// Returns the number of parameters.
  long parameters();

  /// Returns the counts of heads, which tensor parallelism deals out whole: its size divides each.
  List<Extent> splitHeads();

  /// Returns the extents that tensor parallelism cuts into the recipe's tensor blocks: the blocks
  /// divide each.
  List<Extent> splitExtents();

  /// Lays out a model of this size.
  ///
  /// @param tensorBlocks into how many blocks sums over features and vocabulary are cut
  LanguageModel model(int tensorBlocks);

  /// A number of a shape, with what users set it by.
  ///
  /// @param option the option, for messages
  /// @param size the number
  record Extent(String option, int size) {}
}
