package dev.lockstep.bench;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.algorithm.Algorithms;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import picocli.CommandLine;

/// Reads what users write after the options of this module's verbs, in nccl-tests' words. What is
/// wrong is one sentence that names option, value and what is allowed.
final class OptionValues {
  private static final List<String> OPS =
      List.of(
          "sum", "prod", "max", "min", "avg", "mulsum", "band", "bor", "bxor", "land", "lor",
          "lxor");

  private OptionValues() {}

  /// Reads a verb's arguments into an object of annotated options.
  ///
  /// @throws ConfigurationException if one is unknown or has the wrong form
  static void parse(Object options, String verb, List<String> arguments) {
    CommandLine line = new CommandLine(options);
    arguments.forEach(argument -> requireNoEmptySwitch(line, argument));
    try {
      line.parseArgs(arguments.toArray(String[]::new));
    } catch (CommandLine.ParameterException e) {
      throw new ConfigurationException(
          verb,
          String.join(" ", arguments),
          e.getMessage() + " (see lockstep " + verb + " --help)",
          e);
    }
  }

  /// Refuses `--switch=`, as of a variable that is not set: to picocli it is the switch alone.
  private static void requireNoEmptySwitch(CommandLine line, String argument) {
    if (argument.startsWith("-") && argument.endsWith("=")) {
      String name = argument.substring(0, argument.length() - 1);
      CommandLine.Model.OptionSpec option = line.getCommandSpec().findOption(name);
      boolean isSwitch = option != null && option.arity().max() == 0;
      require(!isSwitch, name, "", "write " + name + " alone, or " + name + "=true or =false");
    }
  }

  /// Returns the number of bytes of a size such as `64K`.
  static long size(String option, String text) {
    try {
      return ByteSize.parse(text);
    } catch (IllegalArgumentException | ArithmeticException e) {
      throw wrong(option, text, "must be a size such as 4, 64K or 1M");
    }
  }

  /// Returns the element type of a name such as `float`.
  static DType dtype(String option, String text) {
    for (DType dtype : DType.values()) {
      if (NcclTests.type(dtype).equals(text.toLowerCase(Locale.ROOT))) {
        return dtype;
      }
    }
    throw wrong(
        option,
        text,
        "must be one of "
            + Arrays.stream(DType.values()).map(NcclTests::type).collect(Collectors.joining(", ")));
  }

  /// Returns every reduce op, nccl-tests' first and in its order.
  static List<ReduceOp> reduceOps() {
    return OPS.stream().map(name -> reduceOp("-o", name)).toList();
  }

  /// Returns the reduce op of a name such as `sum`; `mulsum` multiplies by 2.
  static ReduceOp reduceOp(String option, String text) {
    return switch (text) {
      case "sum" -> new ReduceOp.Sum();
      case "prod" -> new ReduceOp.Prod();
      case "min" -> new ReduceOp.Min();
      case "max" -> new ReduceOp.Max();
      case "avg" -> new ReduceOp.Avg();
      case "mulsum" -> new ReduceOp.PreMulSum(2);
      case "band" -> new ReduceOp.BitAnd();
      case "bor" -> new ReduceOp.BitOr();
      case "bxor" -> new ReduceOp.BitXor();
      case "land" -> new ReduceOp.LogicalAnd();
      case "lor" -> new ReduceOp.LogicalOr();
      case "lxor" -> new ReduceOp.LogicalXor();
      default -> throw wrong(option, text, "must be one of " + String.join(", ", OPS));
    };
  }

  /// Returns the collective of a name.
  static CollectiveKind kind(String text, List<CollectiveKind> allowed) {
    for (CollectiveKind kind : allowed) {
      if (kind.label().equals(text)) {
        return kind;
      }
    }
    throw wrong(
        "COLLECTIVE",
        text,
        "must be one of "
            + allowed.stream().map(CollectiveKind::label).collect(Collectors.joining(", ")));
  }

  /// Returns the algorithm of a name, for a kind of collective.
  static Algorithm algorithm(String option, String text, CollectiveKind kind) {
    List<Algorithm> allowed = Algorithms.of(kind);
    for (Algorithm algorithm : allowed) {
      if (algorithm.name().equals(text)) {
        return algorithm;
      }
    }
    throw wrong(
        option,
        text,
        "must be one of "
            + allowed.stream().map(Algorithm::name).collect(Collectors.joining(", ")));
  }

  /// Refuses a value unless the rule holds.
  static void require(boolean holds, String option, String value, String rule) {
    if (!holds) {
      throw wrong(option, value, rule);
    }
  }

  /// Returns the refusal of a value.
  static ConfigurationException wrong(String option, String value, String rule) {
    return new ConfigurationException(
        option, value, "wrong option: " + option + "=" + value + " (" + rule + ")");
  }
}
