package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.JobConfig;
import dev.lockstep.job.JobVariables;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/// `lockstep run`: torchrun's flags, as far as we have them.
@Command(
    name = "run",
    mixinStandardHelpOptions = false,
    sortOptions = false,
    description = "Starts the ranks of a job and watches them.",
    customSynopsis =
        "lockstep run [--nproc-per-node N] [--nnodes N --node-rank R --rdzv-endpoint H:P]%n"
            + "             [options] JOB [job options]",
    footer = {
      "",
      "Under torchrun, srun or mpirun the command becomes one rank of their job.",
      "Exit code: that of the first failed rank; 2 if the input was wrong."
    })
final class RunCommand implements Callable<Integer> {
  // torchrun's name of its store says nothing to ranks, and a stop may come from any launcher.
  private static final Set<String> HEEDED_BY_RANKS = Set.of("--rdzv-backend", "--stop-patience");

  private final Map<String, String> environment;
  private final PrintStream out;
  private final PrintStream err;

  @Option(
      names = "--nproc-per-node",
      paramLabel = "N",
      description = "Ranks on this node: a number, or auto or cpu for one per core (default: 1).")
  @Nullable String ranksPerNode;

  @Option(names = "--nnodes", paramLabel = "N", description = "Nodes of the job (default: 1).")
  @Nullable String nodes;

  @Option(names = "--node-rank", paramLabel = "R", description = "This node, from 0.")
  @Nullable String nodeRank;

  @Option(
      names = "--rdzv-endpoint",
      paramLabel = "H:P",
      description = "Address of node 0 and the port of the job's store there (port: 29400).")
  @Nullable String endpoint;

  @Option(
      names = "--standalone",
      description = "This node alone, on a free port; so it is where --rdzv-endpoint is not given.")
  boolean standalone;

  @Option(
      names = "--rdzv-id",
      paramLabel = "NAME",
      description = "What the job is called: ranks of another name are refused.")
  String runId = "";

  @Option(
      names = "--rdzv-backend",
      paramLabel = "NAME",
      description = "For torchrun's sake: c10d or static.",
      hidden = true)
  String backend = "c10d";

  @Option(
      names = "--max-restarts",
      paramLabel = "N",
      description = "For torchrun's sake: 0.",
      hidden = true)
  String maxRestarts = "0";

  @Option(
      names = "--log-dir",
      paramLabel = "DIR",
      description = "Keeps what each rank prints, in DIR/rankR/stdout.log and stderr.log.")
  @Nullable Path logFolder;

  @Option(
      names = "--jvm-arg",
      paramLabel = "ARG",
      description = "An option for the JVM of each rank, such as -Xmx1g; may be repeated.")
  List<String> jvmArguments = new ArrayList<>();

  @Option(
      names = "--stop-patience",
      paramLabel = "SECONDS",
      description =
          "How long ranks may take to save at Ctrl-C or SIGTERM (default: 30); Ctrl-C again ends"
              + " them at once.")
  @Nullable String stopPatience;

  @Option(
      names = "--bind",
      paramLabel = "WHAT",
      description =
          "cores: each rank runs on an equal share of this node's cores; none: wherever the system"
              + " puts it (default: none).")
  String binding = "none";

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Shows this; after JOB, the job's options.")
  boolean help;

  @Parameters(paramLabel = "JOB", arity = "0..*", hidden = true)
  List<String> words = new ArrayList<>();

  @Spec CommandSpec spec = CommandSpec.create();

  private RunCommand(Map<String, String> environment, PrintStream out, PrintStream err) {
    this.environment = environment;
    this.out = out;
    this.err = err;
  }

  /// Returns the command with torchrun's second spellings and with its flags that we refuse.
  static CommandSpec spec(Map<String, String> environment, PrintStream out, PrintStream err) {
    CommandSpec spec = CommandSpec.forAnnotatedObject(new RunCommand(environment, out, err));
    spec.parser().stopAtPositional(true);
    for (OptionSpec option : List.copyOf(spec.options())) {
      String name = option.longestName();
      if (name.lastIndexOf('-') > 1) {
        String underscored = "--" + name.substring(2).replace('-', '_');
        spec.addOption(OptionSpec.builder(option).names(underscored).hidden(true).build());
      }
    }
    RefusedFlag.all().forEach(flag -> spec.addOption(flag.option(spec)));
    spec.usageMessage().sectionMap().put("jobs", _ -> jobs());
    List<String> sections = new ArrayList<>(spec.usageMessage().sectionKeys());
    sections.add(sections.indexOf(CommandSpecKeys.FOOTER_HEADING), "jobs");
    spec.usageMessage().sectionKeys(sections);
    return spec;
  }

  /// Names of picocli's help sections that are used here.
  private static final class CommandSpecKeys {
    static final String FOOTER_HEADING =
        picocli.CommandLine.Model.UsageMessageSpec.SECTION_KEY_FOOTER_HEADING;
  }

  private static String jobs() {
    Jobs jobs = Jobs.installed();
    if (jobs.listed().isEmpty()) {
      return "%n%s%n".formatted(jobs.choice());
    }
    StringBuilder text = new StringBuilder("%nJobs (see lockstep run JOB --help):%n".formatted());
    for (JobProvider job : jobs.listed()) {
      text.append("  %-12s %s%n".formatted(job.name(), job.summary()));
    }
    return text.toString();
  }

  @Override
  public Integer call() throws Exception {
    if (words.isEmpty()) {
      throw new ParameterException(
          spec.commandLine(), "job is missing: JOB (" + Jobs.installed().choice() + ")");
    }
    JobProvider provider = Jobs.installed().named(words.getFirst());
    List<String> arguments = List.copyOf(words.subList(1, words.size()));
    if (arguments.contains("--help") || arguments.contains("-h")) {
      provider.help("lockstep run " + provider.name(), out);
      return 0;
    }
    if (isRank()) {
      refuseOptionsOfLaunchers();
      return new RankRun(provider, arguments, rankEnvironment(), out).alone(err);
    }
    RunOptions given =
        new RunOptions(
            ranksPerNode,
            nodes,
            nodeRank,
            endpoint,
            standalone,
            runId,
            backend,
            maxRestarts,
            stopPatience,
            binding);
    LaunchOptions options = given.launch(jvmArguments, logFolder, Terminal.columns(), environment);
    return Launcher.launch(options, provider.name(), arguments, out, err);
  }

  /// Refuses what only whoever starts ranks could heed.
  private void refuseOptionsOfLaunchers() {
    for (OptionSpec option : spec.commandLine().getParseResult().matchedOptions()) {
      if (!HEEDED_BY_RANKS.contains(option.longestName().replace('_', '-'))) {
        String value = String.valueOf(option.<Object>getValue());
        throw new ConfigurationException(
            option.longestName(),
            value,
            "another launcher has made this process a rank, so it starts none and heeds no %s: %s=%s (leave the option out)"
                .formatted(option.longestName(), option.longestName(), value));
      }
    }
  }

  private Map<String, String> rankEnvironment() {
    Map<String, String> variables = new HashMap<>(environment);
    long millis = StopPatience.of(stopPatience, environment).toMillis();
    variables.put(JobVariables.STOP_PATIENCE_MILLIS, Long.toString(millis));
    return variables;
  }

  /// Returns whether another launcher has started this process as a rank. Slurm, MPI and Kubernetes
  /// may also start one launcher per node: then it is told how many ranks to start.
  private boolean isRank() {
    if (ranksPerNode == null && nodes == null) {
      return JobConfig.of(environment).launcher().isPresent();
    }
    String rank = environment.get("RANK");
    if (rank != null && !rank.isBlank()) {
      throw new ConfigurationException(
          "--nproc-per-node",
          String.valueOf(ranksPerNode),
          "another launcher has made this process a rank, so it starts none: RANK=%s, --nproc-per-node=%s, --nnodes=%s (leave the options out, or unset RANK)"
              .formatted(rank, ranksPerNode, nodes));
    }
    return false;
  }
}
