package dev.lockstep.examples.gpt;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.launcher.JobProvider;
import dev.lockstep.launcher.RankContext;
import dev.lockstep.launcher.RankLayout;
import java.io.PrintStream;
import java.util.List;
import picocli.CommandLine;

/// The job `gpt`: trains a byte-level GPT on text.
public final class GptJob implements JobProvider {
  /// Makes the job; it holds nothing.
  public GptJob() {}

  @Override
  public String name() {
    return "gpt";
  }

  @Override
  public String summary() {
    return "trains a byte-level GPT on the Java files of this JDK, or on text of your own";
  }

  @Override
  public void help(String name, PrintStream out) {
    new CommandLine(new GptOptions()).setCommandName(name).usage(out);
  }

  @Override
  public void check(List<String> arguments, RankLayout layout) {
    GptOptions options = parse(arguments);
    GptPlan.of(options).check(options, layout.worldSize());
  }

  @Override
  public int run(RankContext context, List<String> arguments) {
    new GptRun(context, parse(arguments)).run();
    return 0;
  }

  private static GptOptions parse(List<String> arguments) {
    GptOptions options = new GptOptions();
    try {
      new CommandLine(options).parseArgs(arguments.toArray(String[]::new));
      return options;
    } catch (CommandLine.ParameterException e) {
      throw new ConfigurationException(option(e), String.join(" ", arguments), sentence(e), e);
    }
  }

  private static String option(CommandLine.ParameterException e) {
    return e.getArgSpec() instanceof CommandLine.Model.OptionSpec option
        ? option.longestName()
        : "gpt";
  }

  /// Picocli's sentence, in the form of ours.
  private static String sentence(CommandLine.ParameterException e) {
    String message = String.valueOf(e.getMessage());
    return Character.toLowerCase(message.charAt(0))
        + message.substring(1)
        + " (lockstep run gpt --help lists the options)";
  }
}
