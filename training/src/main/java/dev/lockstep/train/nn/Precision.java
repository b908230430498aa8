package dev.lockstep.train.nn;

import dev.lockstep.failure.ConfigurationException;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/// In what floats a model computes. Part of the recipe: the bits depend on it.
///
/// Note [where bf16 rounds]: with [#BF16] the inputs and results of linear layers, the weights, and
/// on the way back the gradients of those results and of the logits are rounded to bfloat16, so
/// that the operands of all their products are, and the activations that are kept. A weight is
/// rounded once per lane from its float32 master. Products, attention and other sums accumulate in
/// float32; norms, the residual stream, logits and loss, the gradients of weights, moments and
/// masters are float32. In a graph that is `Convert` to bfloat16 and back, so every device sees
/// where rounding is.
public enum Precision {
  /// Float32 throughout.
  F32,

  /// Products and kept activations in bfloat16.
  BF16;

  /// Returns the name that options use.
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }

  /// Returns the choice called `label`.
  ///
  /// @throws ConfigurationException if there is none; the sentence names the choices
  public static Precision of(String label) {
    for (Precision choice : values()) {
      if (choice.label().equals(label)) {
        return choice;
      }
    }
    throw new ConfigurationException(
        "--precision",
        label,
        "there is no such precision: --precision %s (known: %s)"
            .formatted(
                label,
                Arrays.stream(values()).map(Precision::label).collect(Collectors.joining(", "))));
  }
}
