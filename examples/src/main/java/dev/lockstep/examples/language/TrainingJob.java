package dev.lockstep.examples.language;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.launcher.JobProvider;
import dev.lockstep.launcher.RankContext;
import dev.lockstep.train.model.ModelShape;
import java.io.PrintStream;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import picocli.CommandLine;

/// A job that trains a language model of one family on text.
abstract class TrainingJob implements JobProvider {
  private final ModelShape family;

  /// @param family the default shape of the family
  TrainingJob(ModelShape family) {
    this.family = family;
  }

  @Override
  public String name() {
    return family.family();
  }

  @Override
  public String summary() {
    return "trains a byte-level %s on the Java files of this JDK, or on text of your own"
        .formatted(family.title());
  }

  @Override
  public void help(String name, PrintStream out) {
    CommandLine command = new CommandLine(new TrainingOptions(family)).setCommandName(name);
    command.getCommandSpec().usageMessage().footer("", "Sizes by default: " + sizes());
    command.usage(out);
  }

  private String sizes() {
    Map<String, Integer> numbers = family.numbers();
    return numbers.entrySet().stream()
        .filter(number -> !number.getKey().equals("--vocabulary"))
        .map(number -> number.getKey() + " " + number.getValue())
        .collect(Collectors.joining(" "));
  }

  @Override
  public void check(List<String> arguments, int worldSize) {
    TrainingOptions options = parse(arguments);
    TrainingPlan.of(options).check(options, worldSize);
  }

  @Override
  public void checkLogs(List<String> arguments, Path folder) {
    TrainingPlan.checkLogs(parse(arguments), folder);
  }

  @Override
  public int run(RankContext context, List<String> arguments) {
    new TrainingRank(context, parse(arguments)).run();
    return 0;
  }

  private TrainingOptions parse(List<String> arguments) {
    TrainingOptions options = new TrainingOptions(family);
    try {
      new CommandLine(options).parseArgs(arguments.toArray(String[]::new));
      return options;
    } catch (CommandLine.ParameterException e) {
      throw new ConfigurationException(option(e), String.join(" ", arguments), sentence(e), e);
    }
  }

  private String option(CommandLine.ParameterException e) {
    return e.getArgSpec() instanceof CommandLine.Model.OptionSpec option
        ? option.longestName()
        : name();
  }

  /// Picocli's sentence, in the form of ours.
  private String sentence(CommandLine.ParameterException e) {
    // Arguments have no NUL, so a name that is none has characters that the locale lacks.
    if (e.getCause() instanceof InvalidPathException name) {
      return "this locale cannot name the file: %s=%s (set LC_ALL=C.UTF-8)"
          .formatted(option(e), name.getInput());
    }
    String message = String.valueOf(e.getMessage());
    return Character.toLowerCase(message.charAt(0))
        + message.substring(1)
        + " (lockstep run %s --help lists the options%s)"
            .formatted(name(), e instanceof CommandLine.UnmatchedArgumentException ? where() : "");
  }

  /// Where options stand that belong to the launcher.
  private String where() {
    return "; those of lockstep run, such as --nproc-per-node, stand before %s".formatted(name());
  }
}
