package dev.lockstep.train.model;

import dev.lockstep.train.options.OptionCheck;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The size of a Llama model.
///
/// @param layers transformer blocks
/// @param heads heads of queries; divides the width, into an even number of features
/// @param keyValueHeads heads of keys and values, each shared by `heads / keyValueHeads` heads of
///   queries
/// @param width features of a token
/// @param hidden features of an MLP's hidden layer
/// @param context positions
/// @param vocabulary tokens; 256 for bytes
/// @param tiedHead whether the head uses the token embedding's weight
/// @param rotaryBase base of the rotary embedding's angles
/// @param epsilon added to the mean square in norms
public record LlamaShape(
    int layers,
    int heads,
    int keyValueHeads,
    int width,
    int hidden,
    int context,
    int vocabulary,
    boolean tiedHead,
    float rotaryBase,
    float epsilon)
    implements ModelShape {
  /// The usual base of the rotary embedding's angles.
  public static final float ROTARY_BASE = 10_000;

  /// What is usually added to the mean square in norms.
  public static final float EPSILON = 1e-5f;

  /// Checks the numbers.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if one does not fit; the sentence names
  ///   the option
  public LlamaShape {
    OptionCheck.atLeast("--layers", layers, 1);
    OptionCheck.atLeast("--heads", heads, 1);
    OptionCheck.atLeast("--kv-heads", keyValueHeads, 1);
    OptionCheck.atLeast("--width", width, 1);
    OptionCheck.atLeast("--hidden", hidden, 1);
    OptionCheck.atLeast("--context", context, 1);
    OptionCheck.atLeast("vocabulary", vocabulary, 2);
    OptionCheck.above("--rotary-base", rotaryBase, 0);
    OptionCheck.above("epsilon", epsilon, 0);
    if (width % heads != 0 || width / heads % 2 != 0) {
      throw OptionCheck.refusal(
          "--heads",
          heads,
          "heads must have an even number of features: --heads %d, --width %d (choose a width that is a multiple of twice the heads)"
              .formatted(heads, width));
    }
    if (heads % keyValueHeads != 0) {
      throw OptionCheck.refusal(
          "--kv-heads",
          keyValueHeads,
          "the heads of keys and values do not divide the heads: --kv-heads %d, --heads %d (choose a divisor)"
              .formatted(keyValueHeads, heads));
    }
  }

  /// Returns a shape with the usual base and epsilon.
  public static LlamaShape of(
      int layers, int heads, int keyValueHeads, int width, int hidden, int context) {
    return new LlamaShape(
        layers,
        heads,
        keyValueHeads,
        width,
        hidden,
        context,
        DEFAULT_VOCABULARY,
        true,
        ROTARY_BASE,
        EPSILON);
  }

  /// Returns the default, sized for two cores.
  public static LlamaShape defaults() {
    return of(4, 4, 2, 128, 344, 64);
  }

  @Override
  public String family() {
    return "llama";
  }

  @Override
  public String title() {
    return "Llama";
  }

  /// Returns the features of a head.
  public int headSize() {
    return width / heads;
  }

  /// Returns the features of all heads of keys.
  public int keyValueWidth() {
    return keyValueHeads * headSize();
  }

  @Override
  public long parameters() {
    long c = width;
    long perLayer = 2 * c * c + 2 * c * keyValueWidth() + 3 * c * hidden + 2 * c;
    return (tiedHead ? 1L : 2L) * vocabulary * c + layers * perLayer + c;
  }

  @Override
  public Map<String, Integer> numbers() {
    Map<String, Integer> numbers = new LinkedHashMap<>();
    numbers.put("--layers", layers);
    numbers.put("--heads", heads);
    numbers.put("--kv-heads", keyValueHeads);
    numbers.put("--width", width);
    numbers.put("--hidden", hidden);
    numbers.put("--context", context);
    numbers.put("--vocabulary", vocabulary);
    return numbers;
  }

  @Override
  public LlamaShape of(Map<String, Integer> numbers, boolean tied) {
    return new LlamaShape(
        numbers.getOrDefault("--layers", layers),
        numbers.getOrDefault("--heads", heads),
        numbers.getOrDefault("--kv-heads", keyValueHeads),
        numbers.getOrDefault("--width", width),
        numbers.getOrDefault("--hidden", hidden),
        numbers.getOrDefault("--context", context),
        numbers.getOrDefault("--vocabulary", vocabulary),
        tied,
        rotaryBase,
        epsilon);
  }

  @Override
  public List<Extent> splitHeads() {
    return List.of(new Extent("--heads", heads), new Extent("--kv-heads", keyValueHeads));
  }

  @Override
  public List<Extent> splitExtents() {
    return List.of(
        new Extent("--width", width),
        new Extent("features of --kv-heads", keyValueWidth()),
        new Extent("--hidden", hidden),
        new Extent("vocabulary", vocabulary));
  }

  @Override
  public LanguageModel model(int tensorBlocks) {
    return new LlamaModel(this, tensorBlocks);
  }
}
