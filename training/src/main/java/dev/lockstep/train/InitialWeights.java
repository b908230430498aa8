package dev.lockstep.train;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.train.checkpoint.HuggingFaceFolder;
import dev.lockstep.train.data.Corpus;
import dev.lockstep.train.model.LlamaShape;
import dev.lockstep.train.model.ModelShape;
import java.util.Map;
import java.util.Optional;

/// What is checked of weights that a run is to start from, and said of them.
final class InitialWeights {
  private InitialWeights() {}

  /// Checks that weights are of the recipe's model, and the ones that it names, if it does.
  ///
  /// @param sha256 theirs
  /// @throws ConfigurationException that names `--weights` if they are not
  static void check(Recipe recipe, HuggingFaceFolder weights, String sha256) {
    if (!isOf(recipe.model(), weights.shape())) {
      throw new ConfigurationException(
          "--weights",
          weights.path().toString(),
          "the weights are of another model: --weights %s has %s, the recipe has %s"
              .formatted(weights.path(), weights.shape(), recipe.model()));
    }
    if (!recipe.initialWeights().isEmpty() && !recipe.initialWeights().equals(sha256)) {
      throw new ConfigurationException(
          "--weights",
          weights.path().toString(),
          "the recipe starts from other weights: --weights %s has sha256 %s, the recipe has %s"
              .formatted(weights.path(), sha256, recipe.initialWeights()));
    }
  }

  /// Returns what is said of weights whose tokens are not the bytes that a corpus has.
  static Optional<String> otherTokens(HuggingFaceFolder weights) {
    int vocabulary = weights.shape().vocabulary();
    return vocabulary <= Corpus.VOCABULARY
        ? Optional.empty()
        : Optional.of(
            "the weights were trained on other tokens than bytes, which text is fed as: weights=%s, vocabulary=%d (their embeddings are of other text at first)"
                .formatted(weights.path(), vocabulary));
  }

  /// Whether a model can have the weights of another; Llama's do not depend on its context.
  private static boolean isOf(ModelShape model, ModelShape weights) {
    return model.equals(weights)
        || (weights instanceof LlamaShape llama
            && model.equals(llama.with(Map.of("--context", model.context()), llama.tiedHead())));
  }
}
