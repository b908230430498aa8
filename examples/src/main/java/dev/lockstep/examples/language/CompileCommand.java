package dev.lockstep.examples.language;

import dev.lockstep.device.AheadOfTime;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.launcher.CommandProvider;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.RunGraphs;
import dev.lockstep.train.TrainerOptions;
import dev.lockstep.train.model.ModelShape;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.ServiceLoader;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `lockstep compile MODEL`: the programs of `lockstep run MODEL`, compiled ahead of time for a
/// device that this machine need not have.
public final class CompileCommand implements CommandProvider {
  private static final String VERB = "compile";

  @Command(
      sortOptions = false,
      usageHelpAutoWidth = true,
      description = "Compiles the programs of lockstep run MODEL for a device, ahead of time.",
      footer = {"", "MODEL and the other options are those of lockstep run MODEL."})
  private static final class Options {
    @Option(
        names = "--emit",
        paramLabel = "FORM",
        description = "what is written; default: the device's usual form")
    private @Nullable String form;

    @Option(
        names = "--target",
        paramLabel = "NAME",
        description = "what is compiled for; default: the device's usual target")
    private @Nullable String target;

    @Option(
        names = "--nproc-per-node",
        paramLabel = "N",
        description = "ranks that run the programs together; default: those of --mesh")
    private @Nullable Integer ranks;
  }

  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public CompileCommand() {}

  @Override
  public String name() {
    return VERB;
  }

  @Override
  public String summary() {
    return "compiles a model's programs for a device, ahead of time";
  }

  @Override
  public int run(List<String> arguments, PrintStream out, PrintStream err) {
    boolean asksForHelp = arguments.contains("--help") || arguments.contains("-h");
    if (arguments.isEmpty() || (asksForHelp && arguments.getFirst().startsWith("-"))) {
      help(ModelShape.families().getFirst(), out);
      return asksForHelp ? 0 : 2;
    }
    if (arguments.getFirst().startsWith("-")) {
      throw new ConfigurationException(
          VERB,
          arguments.getFirst(),
          "the model comes first: lockstep compile %s (known: %s)"
              .formatted(
                  arguments.getFirst(),
                  String.join(
                      ", ", ModelShape.families().stream().map(ModelShape::family).toList())));
    }
    ModelShape family = ModelShape.defaults(arguments.getFirst());
    Options options = new Options();
    TrainingOptions training = new TrainingOptions(family);
    parse(options, training, arguments.subList(1, arguments.size()));
    if (training.help) {
      help(family, out);
      return 0;
    }
    compile(options, training, out);
    return 0;
  }

  private static void help(ModelShape family, PrintStream out) {
    line(new Options(), new TrainingOptions(family))
        .setCommandName("lockstep compile " + family.family())
        .usage(out);
  }

  private static CommandLine line(Options options, TrainingOptions training) {
    return new CommandLine(options).addMixin("training", training);
  }

  private static void parse(Options options, TrainingOptions training, List<String> arguments) {
    try {
      line(options, training).parseArgs(arguments.toArray(String[]::new));
    } catch (CommandLine.ParameterException e) {
      String message = String.valueOf(e.getMessage());
      throw new ConfigurationException(
          VERB,
          String.join(" ", arguments),
          Character.toLowerCase(message.charAt(0))
              + message.substring(1)
              + " (lockstep compile --help lists the options)",
          e);
    }
  }

  private static void compile(Options options, TrainingOptions training, PrintStream out) {
    AheadOfTime compiler = compiler(training.device);
    String form = chosen("--emit", options.form, compiler.forms());
    String target = chosen("--target", options.target, compiler.targets());
    TrainerOptions layout = training.trainerOptions(1);
    int ranks = Objects.requireNonNullElse(options.ranks, layout.layout().places());
    if (ranks < 1) {
      throw refusal("--nproc-per-node", "" + ranks, "must be at least 1");
    }
    Path folder = training.out;
    if (folder == null) {
      throw new ConfigurationException(
          "--out", "", "an option is missing: --out (name the folder that the programs go to)");
    }
    Recipe recipe = TrainingPlan.recipe(training);
    List<RunGraphs.Group> groups =
        compiler.keepsCollectives(form)
            ? RunGraphs.of(recipe, layout, ranks)
            : RunGraphs.betweenCollectives(recipe, layout, ranks);
    try (ProgramFolder programs = ProgramFolder.open(folder)) {
      for (RunGraphs.Group group : groups) {
        compiler.write(
            new AheadOfTime.Build(
                group.graphs(),
                group.ranks(),
                recipe.sameBits(),
                form,
                target,
                programs.group(group.name()),
                line -> out.println(group.name().isEmpty() ? line : group.name() + ": " + line)));
      }
      programs.finish();
      out.println("the programs are in " + folder);
    } catch (IllegalArgumentException | UncheckedIOException e) {
      throw new ConfigurationException(
          VERB, training.device, Objects.requireNonNullElse(e.getMessage(), e.toString()), e);
    }
  }

  private static AheadOfTime compiler(String device) {
    List<AheadOfTime> all =
        ServiceLoader.load(AheadOfTime.class).stream().map(ServiceLoader.Provider::get).toList();
    return all.stream()
        .filter(each -> each.device().equals(device))
        .findFirst()
        .orElseThrow(
            () ->
                new ConfigurationException(
                    "--device",
                    device,
                    "programs of this device are not compiled ahead of time: --device %s (known: %s)"
                        .formatted(
                            device,
                            String.join(", ", all.stream().map(AheadOfTime::device).toList()))));
  }

  private static String chosen(String option, @Nullable String given, List<String> known) {
    if (given != null && !known.contains(given)) {
      throw refusal(option, given, "known: " + String.join(", ", known));
    }
    return given == null ? known.getFirst() : given;
  }

  private static ConfigurationException refusal(String option, String value, String rule) {
    return new ConfigurationException(
        option, value, "wrong option: " + option + " " + value + " (" + rule + ")");
  }
}
