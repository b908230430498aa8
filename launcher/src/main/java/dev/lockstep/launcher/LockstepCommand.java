package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.LockstepException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.lang.module.ModuleDescriptor;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.ServiceLoader;
import java.util.function.BooleanSupplier;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.MissingParameterException;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/// The whole command line: verbs of this module and those that others bring.
final class LockstepCommand {
  private static final int DONE = 0;
  private static final int FAILED = 1;
  private static final int WRONG_INPUT = 2;
  // What a shell says of a program that SIGPIPE has ended: the JVM ignores that signal.
  private static final int UNREAD = 128 + 13;

  private final Map<String, String> environment;
  private final PrintStream out;
  private final PrintStream err;
  private final BooleanSupplier isRead;

  /// Makes the command.
  ///
  /// @param isRead whether another program reads what is written to `out`
  LockstepCommand(
      Map<String, String> environment, PrintStream out, PrintStream err, BooleanSupplier isRead) {
    this.environment = Map.copyOf(environment);
    this.out = out;
    this.err = err;
    this.isRead = isRead;
  }

  @Command(
      name = "lockstep",
      mixinStandardHelpOptions = true,
      versionProvider = Version.class,
      synopsisSubcommandLabel = "VERB",
      description = "Trains models across processes, with the same bits on any layout.",
      footer = {"", "Exit codes: 0 done, 1 the work failed, 2 the input was wrong."})
  private static final class Root {}

  /// What `lockstep --version` says.
  static final class Version implements IVersionProvider {
    @Override
    public String[] getVersion() {
      String version =
          Optional.ofNullable(Main.class.getModule().getDescriptor())
              .flatMap(ModuleDescriptor::rawVersion)
              .or(() -> Optional.ofNullable(Main.class.getPackage().getImplementationVersion()))
              .orElse("(not packaged)");
      return new String[] {"lockstep " + version};
    }
  }

  /// Runs the command and returns its exit code. A result that could not be written is a failure,
  /// which is not told where its reader has left: as `head` does once it has what it wants.
  int execute(List<String> arguments) {
    int code = run(arguments);
    if (!out.checkError()) {
      return code;
    }
    if (isRead.getAsBoolean()) {
      return code == DONE ? UNREAD : code;
    }
    err.println(
        "lockstep: results could not be written to standard output: it is full or closed (give it"
            + " room, or another target)");
    return code == DONE ? FAILED : code;
  }

  private int run(List<String> arguments) {
    List<CommandProvider> providers =
        ServiceLoader.load(CommandProvider.class).stream()
            .map(ServiceLoader.Provider::get)
            .sorted(Comparator.comparing(CommandProvider::name))
            .toList();
    try {
      for (CommandProvider provider : providers) {
        if (!arguments.isEmpty() && arguments.getFirst().equals(provider.name())) {
          return provider.run(arguments.subList(1, arguments.size()), out, err);
        }
      }
      return commandLine(providers).execute(arguments.toArray(String[]::new));
    } catch (Exception e) {
      return failed(e);
    }
  }

  private CommandLine commandLine(List<CommandProvider> providers) {
    CommandLine line = new CommandLine(new Root());
    line.addSubcommand(new CommandLine(RunCommand.spec(environment, out, err)));
    line.addSubcommand(new DoctorCommand(out));
    line.addSubcommand(new PackCommand(out));
    for (CommandProvider provider : providers) {
      CommandSpec verb = CommandSpec.create().name(provider.name());
      verb.usageMessage().description(provider.summary());
      line.addSubcommand(provider.name(), new CommandLine(verb));
    }
    boolean colours = Terminal.columns().isPresent() && !environment.containsKey("NO_COLOR");
    line.setColorScheme(CommandLine.Help.defaultColorScheme(colours ? Ansi.ON : Ansi.OFF));
    line.setOut(new PrintWriter(out, true, out.charset()));
    line.setErr(new PrintWriter(err, true, err.charset()));
    line.setParameterExceptionHandler(this::wrongInput);
    line.setExecutionExceptionHandler((e, _, _) -> failed(e));
    line.setExecutionStrategy(
        parsed -> {
          if (parsed.hasSubcommand()
              || parsed.isUsageHelpRequested()
              || parsed.isVersionHelpRequested()) {
            return new CommandLine.RunLast().execute(parsed);
          }
          line.usage(line.getOut());
          return DONE;
        });
    return line;
  }

  private int wrongInput(ParameterException e, String[] arguments) {
    String verb = e.getCommandLine().getCommandSpec().qualifiedName();
    String sentence = sentence(e);
    String remedy = sentence.endsWith(")") ? "" : " (see " + verb + " --help)";
    err.println("lockstep: " + sentence + remedy);
    return WRONG_INPUT;
  }

  private static String sentence(ParameterException e) {
    return switch (e) {
      case UnmatchedArgumentException unmatched -> unmatched(unmatched);
      case MissingParameterException missing -> lowerCase(String.valueOf(missing.getMessage()));
      default ->
          e.getCause() instanceof ConfigurationException cause
              ? String.valueOf(cause.getMessage())
              : lowerCase(String.valueOf(e.getMessage()));
    };
  }

  private static String unmatched(UnmatchedArgumentException e) {
    String first = e.getUnmatched().getFirst();
    String sentence = (first.startsWith("-") ? "unknown option: " : "unknown verb: ") + first;
    List<String> alike = new ArrayList<>(e.getSuggestions());
    return alike.isEmpty() ? sentence : sentence + ", did you mean " + alike.getFirst() + "?";
  }

  private static String lowerCase(String sentence) {
    return sentence.substring(0, 1).toLowerCase(Locale.ROOT) + sentence.substring(1);
  }

  private int failed(Exception e) {
    switch (e) {
      case ConfigurationException wrong -> {
        err.println("lockstep: " + wrong.getMessage());
        return WRONG_INPUT;
      }
      case LockstepException known -> err.println("lockstep: " + known.getMessage());
      default -> {
        err.println("lockstep: the command failed");
        e.printStackTrace(err);
      }
    }
    return FAILED;
  }
}
