package dev.lockstep.train.model;

import dev.lockstep.train.options.OptionCheck;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The size of a plain MLP that sees the last `window` tokens.
///
/// @param layers MLPs, one after another; all but the first are added to their input
/// @param width features of a token
/// @param hidden features of a hidden layer
/// @param window tokens that a position sees, itself included
/// @param context positions of a sequence
/// @param vocabulary tokens; 256 for bytes
/// @param tiedHead whether the head uses the token embedding's weight
public record MlpShape(
    int layers, int width, int hidden, int window, int context, int vocabulary, boolean tiedHead)
    implements ModelShape {
  /// Checks the numbers.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if one does not fit; the sentence names
  ///   the option
  public MlpShape {
    OptionCheck.atLeast("--layers", layers, 1);
    OptionCheck.atLeast("--width", width, 1);
    OptionCheck.atLeast("--hidden", hidden, 1);
    OptionCheck.atLeast("--window", window, 1);
    OptionCheck.atLeast("--context", context, 1);
    OptionCheck.atLeast("vocabulary", vocabulary, 2);
    if (window > context) {
      throw OptionCheck.refusal(
          "--window",
          window,
          "the window is longer than the context: --window %d, --context %d (choose at most the context)"
              .formatted(window, context));
    }
  }

  /// Returns the default, sized for two cores.
  public static MlpShape defaults() {
    return new MlpShape(2, 64, 256, 8, 64, DEFAULT_VOCABULARY, true);
  }

  @Override
  public String family() {
    return "mlp";
  }

  @Override
  public String title() {
    return "MLP";
  }

  @Override
  public long parameters() {
    long first = (long) window * width * hidden + hidden + (long) hidden * width + width;
    long other = 2L * width * hidden + hidden + width;
    return (tiedHead ? 1L : 2L) * vocabulary * width
        + first
        + (layers - 1) * (other + 2L * width)
        + 2L * width;
  }

  @Override
  public Map<String, Integer> numbers() {
    Map<String, Integer> numbers = new LinkedHashMap<>();
    numbers.put("--layers", layers);
    numbers.put("--width", width);
    numbers.put("--hidden", hidden);
    numbers.put("--window", window);
    numbers.put("--context", context);
    numbers.put("--vocabulary", vocabulary);
    return numbers;
  }

  @Override
  public MlpShape of(Map<String, Integer> numbers, boolean tied) {
    return new MlpShape(
        numbers.getOrDefault("--layers", layers),
        numbers.getOrDefault("--width", width),
        numbers.getOrDefault("--hidden", hidden),
        numbers.getOrDefault("--window", window),
        numbers.getOrDefault("--context", context),
        numbers.getOrDefault("--vocabulary", vocabulary),
        tied);
  }

  @Override
  public List<Extent> splitHeads() {
    return List.of();
  }

  @Override
  public List<Extent> splitExtents() {
    return List.of(
        new Extent("--width", width),
        new Extent("--hidden", hidden),
        new Extent("vocabulary", vocabulary));
  }

  @Override
  public LanguageModel model(int tensorBlocks) {
    return new MlpModel(this, tensorBlocks);
  }
}
