package dev.lockstep.train.model;

import dev.lockstep.failure.ConfigurationException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// The size of a model: one record per family. All families are causal language models over `T`
/// positions of a context and a vocabulary of `V` tokens.
public sealed interface ModelShape permits GptShape, LlamaShape, MlpShape, MoeShape {
  /// Bytes: the vocabulary where none was given.
  int DEFAULT_VOCABULARY = 256;

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

  /// Returns the numbers that make the shape, in order, by the options that set them: `--layers`.
  Map<String, Integer> numbers();

  /// Returns a shape of this family of other numbers.
  ///
  /// @param numbers one for each of [#numbers]
  /// @throws ConfigurationException if one does not fit
  ModelShape of(Map<String, Integer> numbers, boolean tiedHead);

  /// Returns this shape with some numbers replaced.
  ///
  /// @param given numbers by the options that set them
  /// @throws ConfigurationException if the family has no such number, or it does not fit
  default ModelShape with(Map<String, Integer> given, boolean tiedHead) {
    Map<String, Integer> all = new LinkedHashMap<>(numbers());
    given.forEach(
        (option, number) -> {
          if (all.replace(option, number) == null) {
            throw new ConfigurationException(
                option,
                String.valueOf(number),
                "the model has no such number: model %s, %s %d (known: %s)"
                    .formatted(family(), option, number, String.join(", ", numbers().keySet())));
          }
        });
    return of(all, tiedHead);
  }

  /// Returns the default shapes of all families.
  static List<ModelShape> families() {
    return List.of(
        GptShape.defaults(), LlamaShape.defaults(), MlpShape.defaults(), MoeShape.defaults());
  }

  /// Returns the default shape of a family.
  ///
  /// @throws ConfigurationException if there is no such family; the sentence names those that there
  ///   are
  static ModelShape defaults(String family) {
    Stream<ModelShape> found = families().stream().filter(shape -> shape.family().equals(family));
    return found
        .findFirst()
        .orElseThrow(
            () ->
                new ConfigurationException(
                    "MODEL",
                    family,
                    "there is no such model: model %s (known: %s)"
                        .formatted(
                            family,
                            families().stream()
                                .map(ModelShape::family)
                                .collect(Collectors.joining(", ")))));
  }

  /// Returns the experts of a block; 0 where the family has none.
  default int experts() {
    return 0;
  }

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
