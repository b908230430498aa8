package dev.lockstep.train.model;

import dev.lockstep.failure.ConfigurationException;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/// Which activations the backward pass computes again instead of keeping them: memory for time. The
/// bits of a run do not depend on it.
public enum Recompute {
  /// Keeps everything.
  NONE,

  /// Computes the first norm, the projections and the attention of a block again: what is kept per
  /// token and block falls by five of some fifteen widths, for about a fifth more forward work.
  ATTENTION,

  /// Keeps the inputs of the blocks alone; one forward pass more.
  BLOCK;

  /// Returns the name that options use.
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }

  /// Returns the choice called `label`.
  ///
  /// @throws ConfigurationException if there is none; the sentence names the choices
  public static Recompute of(String label) {
    for (Recompute choice : values()) {
      if (choice.label().equals(label)) {
        return choice;
      }
    }
    throw new ConfigurationException(
        "--recompute",
        label,
        "there is no such choice: --recompute %s (known: %s)"
            .formatted(
                label,
                Arrays.stream(values()).map(Recompute::label).collect(Collectors.joining(", "))));
  }
}
