package dev.lockstep.train.model;

import dev.lockstep.train.options.OptionCheck;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The size of a GPT whose blocks have several MLPs, the experts, of which each token goes through
/// a few.
///
/// @param layers transformer blocks
/// @param heads attention heads of a block; divides the width
/// @param width features of a token
/// @param hidden features of an expert's hidden layer
/// @param experts experts of a block
/// @param expertsPerToken how many of them a token goes to
/// @param capacityPercent places that an expert has for the tokens of a lane, in percent of an even
///   share; what finds no place is dropped
/// @param balancePermille weight of the loss that spreads tokens over experts, in thousandths
/// @param context positions
/// @param vocabulary tokens; 256 for bytes
/// @param tiedHead whether the head uses the token embedding's weight
public record MoeShape(
    int layers,
    int heads,
    int width,
    int hidden,
    int experts,
    int expertsPerToken,
    int capacityPercent,
    int balancePermille,
    int context,
    int vocabulary,
    boolean tiedHead)
    implements ModelShape {
  /// Checks the numbers.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if one does not fit; the sentence names
  ///   the option
  public MoeShape {
    var _ = new GptShape(layers, heads, width, context, vocabulary, tiedHead);
    OptionCheck.atLeast("--hidden", hidden, 1);
    OptionCheck.atLeast("--experts", experts, 1);
    OptionCheck.atLeast("--experts-per-token", expertsPerToken, 1);
    OptionCheck.atLeast("--capacity-percent", capacityPercent, 1);
    OptionCheck.atLeast("--balance-permille", balancePermille, 0);
    if (expertsPerToken > experts) {
      throw OptionCheck.refusal(
          "--experts-per-token",
          expertsPerToken,
          "a token goes to more experts than there are: --experts-per-token %d, --experts %d (choose at most the experts)"
              .formatted(expertsPerToken, experts));
    }
  }

  /// Returns the default, sized for two cores: as much arithmetic per token as the default GPT, and
  /// a quarter more for places that stay empty.
  public static MoeShape defaults() {
    return new MoeShape(4, 4, 128, 256, 8, 2, 125, 10, 64, DEFAULT_VOCABULARY, true);
  }

  /// Returns what the model has beside its experts.
  GptShape gpt() {
    return new GptShape(layers, heads, width, context, vocabulary, tiedHead);
  }

  /// Returns how many tokens of a lane an expert takes.
  ///
  /// @param tokens tokens of the lane
  long capacity(long tokens) {
    long share = Math.ceilDiv(tokens * expertsPerToken * capacityPercent, 100L * experts);
    return Math.min(tokens, share);
  }

  @Override
  public String family() {
    return "moe";
  }

  @Override
  public String title() {
    return "MoE GPT";
  }

  @Override
  public long parameters() {
    long c = width;
    long attention = 4 * c * c + 4 * c;
    long perExpert = c + 2 * c * hidden;
    long perLayer = attention + 4 * c + experts * perExpert;
    return (tiedHead ? 1L : 2L) * vocabulary * c + context * c + layers * perLayer + 2 * c;
  }

  @Override
  public Map<String, Integer> numbers() {
    Map<String, Integer> numbers = new LinkedHashMap<>();
    numbers.put("--layers", layers);
    numbers.put("--heads", heads);
    numbers.put("--width", width);
    numbers.put("--hidden", hidden);
    numbers.put("--experts", experts);
    numbers.put("--experts-per-token", expertsPerToken);
    numbers.put("--capacity-percent", capacityPercent);
    numbers.put("--balance-permille", balancePermille);
    numbers.put("--context", context);
    numbers.put("--vocabulary", vocabulary);
    return numbers;
  }

  @Override
  public MoeShape of(Map<String, Integer> numbers, boolean tied) {
    return new MoeShape(
        numbers.getOrDefault("--layers", layers),
        numbers.getOrDefault("--heads", heads),
        numbers.getOrDefault("--width", width),
        numbers.getOrDefault("--hidden", hidden),
        numbers.getOrDefault("--experts", experts),
        numbers.getOrDefault("--experts-per-token", expertsPerToken),
        numbers.getOrDefault("--capacity-percent", capacityPercent),
        numbers.getOrDefault("--balance-permille", balancePermille),
        numbers.getOrDefault("--context", context),
        numbers.getOrDefault("--vocabulary", vocabulary),
        tied);
  }

  @Override
  public List<Extent> splitHeads() {
    return gpt().splitHeads();
  }

  @Override
  public List<Extent> splitExtents() {
    return gpt().splitExtents();
  }

  @Override
  public MoeModel model(int tensorBlocks) {
    return new MoeModel(this, tensorBlocks);
  }
}
