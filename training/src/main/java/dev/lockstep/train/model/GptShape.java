package dev.lockstep.train.model;

import dev.lockstep.train.options.OptionCheck;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The size of a GPT-2 model.
///
/// @param layers transformer blocks
/// @param heads attention heads of a block; divides the width
/// @param width features of a token
/// @param context positions
/// @param vocabulary tokens; 256 for bytes
/// @param tiedHead whether the head uses the token embedding's weight
public record GptShape(
    int layers, int heads, int width, int context, int vocabulary, boolean tiedHead)
    implements ModelShape {
  /// Features of an MLP's hidden layer per feature of the model, as in GPT-2.
  public static final int MLP_FACTOR = 4;

  /// Added to the variance in layer norms, as in GPT-2.
  public static final float EPSILON = 1e-5f;

  /// Checks the numbers.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if one does not fit; the sentence names
  ///   the option
  public GptShape {
    OptionCheck.atLeast("--layers", layers, 1);
    OptionCheck.atLeast("--heads", heads, 1);
    OptionCheck.atLeast("--width", width, 1);
    OptionCheck.atMost("--width", width, Integer.MAX_VALUE / MLP_FACTOR);
    OptionCheck.atLeast("--context", context, 1);
    OptionCheck.atLeast("vocabulary", vocabulary, 2);
    if (width % heads != 0) {
      throw OptionCheck.refusal(
          "--heads",
          heads,
          "the heads do not divide the width: --heads %d, --width %d (choose a width that is a multiple of the heads)"
              .formatted(heads, width));
    }
  }

  /// Returns the default, sized for two cores.
  public static GptShape defaults() {
    return new GptShape(4, 4, 128, 64, 256, true);
  }

  @Override
  public String family() {
    return "gpt";
  }

  @Override
  public String title() {
    return "GPT";
  }

  @Override
  public long parameters() {
    long c = width;
    long perLayer = 12 * c * c + 13 * c;
    return (tiedHead ? 1L : 2L) * vocabulary * c + context * c + layers * perLayer + 2 * c;
  }

  @Override
  public Map<String, Integer> numbers() {
    Map<String, Integer> numbers = new LinkedHashMap<>();
    numbers.put("--layers", layers);
    numbers.put("--heads", heads);
    numbers.put("--width", width);
    numbers.put("--context", context);
    numbers.put("--vocabulary", vocabulary);
    return numbers;
  }

  @Override
  public GptShape of(Map<String, Integer> numbers, boolean tied) {
    return new GptShape(
        numbers.getOrDefault("--layers", layers),
        numbers.getOrDefault("--heads", heads),
        numbers.getOrDefault("--width", width),
        numbers.getOrDefault("--context", context),
        numbers.getOrDefault("--vocabulary", vocabulary),
        tied);
  }

  @Override
  public List<Extent> splitHeads() {
    return List.of(new Extent("--heads", heads));
  }

  @Override
  public List<Extent> splitExtents() {
    return List.of(new Extent("--width", width), new Extent("vocabulary", vocabulary));
  }

  @Override
  public GptModel model(int tensorBlocks) {
    return new GptModel(this, tensorBlocks);
  }
}
