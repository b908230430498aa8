package dev.lockstep.bench;

import static dev.lockstep.bench.OptionValues.require;
import static dev.lockstep.bench.OptionValues.wrong;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.EvenCollective;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// The options of `lockstep perf`: nccl-tests' own flags and names, and ours.
@Command(
    name = "perf",
    mixinStandardHelpOptions = true,
    sortOptions = false,
    usageHelpWidth = 100,
    description = "Benchmarks a collective, in nccl-tests' columns.",
    footer = "lockstep perf step MODEL times training steps: see lockstep perf step --help.")
final class PerfOptions {
  private static final String ALL = "all";
  private static final int ALL_ROOTS = -1;
  private static final int USUAL_RANKS = 2;

  @Parameters(
      index = "0",
      paramLabel = "COLLECTIVE",
      description =
          "all_reduce, all_gather, reduce_scatter, broadcast, reduce, alltoall, gather, scatter or"
              + " sendrecv")
  private String collective = "";

  @Option(
      names = "-np",
      paramLabel = "N",
      description =
          "ranks, each a process on cores of its own where there are enough (default 2; under"
              + " `lockstep run` those of the job, bound as that says)")
  private @Nullable Integer ranks;

  @Option(names = "--in-process", description = "ranks are threads of one process")
  private boolean inProcess;

  @Option(
      names = {"-b", "--minbytes"},
      paramLabel = "SIZE",
      description = "first size (default ${DEFAULT-VALUE})")
  private String minBytes = "32M";

  @Option(
      names = {"-e", "--maxbytes"},
      paramLabel = "SIZE",
      description = "last size (default ${DEFAULT-VALUE})")
  private String maxBytes = "32M";

  @Option(
      names = {"-f", "--stepfactor"},
      paramLabel = "F",
      description = "multiply by this from size to size")
  private @Nullable Integer stepFactor;

  @Option(
      names = {"-i", "--stepbytes"},
      paramLabel = "SIZE",
      description = "add this from size to size (default 1M)")
  private @Nullable String stepBytes;

  @Option(
      names = {"-n", "--iters"},
      paramLabel = "N",
      description = "timed operations per size (default ${DEFAULT-VALUE})")
  private int iterations = 20;

  @Option(
      names = {"-w", "--warmup_iters"},
      paramLabel = "N",
      description =
          "untimed operations per size; of 1000 and more, and where none are asked for, also until"
              + " operations stop getting faster")
  private @Nullable Integer warmups;

  @Option(
      names = {"-c", "--check"},
      paramLabel = "0|1",
      description = "check every result (default ${DEFAULT-VALUE})")
  private int check = 1;

  @Option(
      names = {"-o", "--op"},
      paramLabel = "OP",
      description =
          "sum, prod, min, max, avg, mulsum, band, bor, bxor, land, lor, lxor, or all that the"
              + " type has (default ${DEFAULT-VALUE})")
  private String op = "sum";

  @Option(
      names = {"-d", "--datatype"},
      paramLabel = "TYPE",
      description = "float, double, half, bfloat16, int32 …, or all (default ${DEFAULT-VALUE})")
  private String type = "float";

  @Option(
      names = {"-r", "--root"},
      paramLabel = "RANK",
      description = "root of rooted collectives, or -1 for all (default ${DEFAULT-VALUE})")
  private int root;

  @Option(
      names = "--dirty",
      description =
          "every rank writes its input before each operation, as training does, and all begin it at"
              + " once; each operation is timed, the slowest rank counts, the median is shown")
  private boolean dirty;

  @Option(
      names = "--clean",
      description =
          "a loop over unchanged buffers, averaged, as nccl-tests does (the default); of up to nine"
              + " such loops the median is shown")
  private boolean clean;

  @Option(
      names = "--transport",
      paramLabel = "T",
      description =
          "shm, aeron-ipc, aeron-udp, efa, ofi:PROVIDER, shm+NAME or in-process (default: chosen)")
  private String transport = "";

  @Option(names = "--relaxed", description = "sums may be joined in any order")
  private boolean relaxed;

  @Option(
      names = "--algorithm",
      paramLabel = "NAME",
      description = "this algorithm instead of the one that is chosen")
  private @Nullable String algorithm;

  @Option(
      names = "--choices",
      description =
          "measure every algorithm that can do it, in place and on written buffers, beside the one"
              + " that is chosen and the time that is predicted")
  private boolean choices;

  @Option(
      names = {"-v", "--verbose"},
      description =
          "print algorithm, predicted time, minimum, median, p99 and maximum of single operations"
              + " too")
  private boolean verbose;

  @Option(names = "--json", paramLabel = "FILE", description = "write the results as JSON too")
  private @Nullable Path json;

  @Option(names = "--inject-wrong", hidden = true)
  private int wrongElements;

  private PerfOptions() {}

  /// Reads the arguments.
  ///
  /// @throws ConfigurationException if one is unknown or wrong; the sentence names it
  static PerfOptions parse(List<String> arguments) {
    PerfOptions options = new PerfOptions();
    OptionValues.parse(options, "perf", arguments);
    return options;
  }

  /// Returns the help text.
  static String help() {
    StringWriter text = new StringWriter();
    new CommandLine(new PerfOptions())
        .setCommandName("lockstep perf")
        .usage(new PrintWriter(text), CommandLine.Help.Ansi.OFF);
    return text.toString();
  }

  /// Returns the plan of which there is one.
  ///
  /// @throws ConfigurationException if several types, ops or roots are asked for, or one is wrong
  PerfPlan plan() {
    List<PerfPlan> plans = plans(ranks());
    require(plans.size() == 1, "-o, -d, -r", "all", "one of each is needed here");
    return plans.getFirst();
  }

  /// Returns the plans in the order in which nccl-tests runs them: for each type each op, and for
  /// each of those each root. Every value is checked here.
  ///
  /// @param ranks how many there are
  List<PerfPlan> plans(int ranks) {
    require(ranks() >= 1 && ranks() <= 1024, "-np", "" + ranks(), "must be 1 to 1024");
    require(
        this.ranks == null || this.ranks == ranks,
        "-np",
        "" + this.ranks,
        "the job has " + ranks + " ranks: leave it out");
    require(
        root >= ALL_ROOTS && root < ranks,
        "-r",
        "" + root,
        "must be a rank, 0 to " + (ranks - 1) + ", or -1 for all");
    List<PerfPlan> plans = new ArrayList<>();
    for (DType dtype : dtypes()) {
      for (ReduceOp each : ops(dtype)) {
        for (int from : roots(ranks)) {
          plans.add(plan(dtype, each, from));
        }
      }
    }
    require(!plans.isEmpty(), "-o", op, "not defined for elements of type " + type);
    require(
        stepFactor == null || stepBytes == null,
        "-f",
        "" + stepFactor,
        "-f and -i exclude each other");
    require(
        algorithm == null || !choices,
        "--choices",
        "",
        "--choices and --algorithm exclude each other");
    require(!(choices && clean), "--choices", "", "--choices and --clean exclude each other");
    require(!choices || plans.size() == 1, "--choices", "", "takes one type, one op and one root");
    require(!(dirty && clean), "--dirty", "", "--dirty and --clean exclude each other");
    PerfSizes sizes = plans.getFirst().sizes();
    require(sizes.minBytes() <= sizes.maxBytes(), "-e", maxBytes, "smaller than -b " + minBytes);
    for (PerfPlan plan : plans) {
      requireAble(plan, ranks);
      EvenCollective what = plan.collective();
      // Of several types those that have no element in a size leave it out.
      require(
          what.count(type.equals(ALL) ? sizes.maxBytes() : sizes.minBytes(), ranks) > 0,
          "-b",
          minBytes,
          "smaller than one element of "
              + NcclTests.type(what.dtype())
              + (what.kind().isInParts() ? " per rank" : ""));
    }
    return plans;
  }

  private PerfPlan plan(DType dtype, ReduceOp reduceOp, int from) {
    return new PerfPlan(
        new EvenCollective(kind(), dtype, reduceOp, from, relaxed ? Mode.RELAXED : Mode.SAME_BITS),
        sizes(),
        timing(),
        transport,
        algorithm(),
        choices);
  }

  private PerfSizes sizes() {
    return new PerfSizes(
        OptionValues.size("-b", minBytes),
        OptionValues.size("-e", maxBytes),
        stepFactor == null ? 1 : atLeast("-f", stepFactor, 2),
        stepFactor != null ? 0 : stepBytes());
  }

  private PerfTiming timing() {
    return new PerfTiming(
        atLeast("-n", iterations, 1),
        warmups == null ? OptionalInt.empty() : OptionalInt.of(atLeast("-w", warmups, 0)),
        dirty,
        check != 0,
        wrongElements);
  }

  private long stepBytes() {
    String asked = stepBytes == null ? "1M" : stepBytes;
    long bytes = OptionValues.size("-i", asked);
    require(bytes >= 1, "-i", asked, "must be at least 1");
    return bytes;
  }

  private List<DType> dtypes() {
    return type.equals(ALL) ? List.of(DType.values()) : List.of(OptionValues.dtype("-d", type));
  }

  /// Those of the asked ops that join elements of a type; all that are shown where nothing is
  /// reduced.
  private List<ReduceOp> ops(DType dtype) {
    CollectiveKind what = kind();
    List<ReduceOp> asked =
        !op.equals(ALL)
            ? List.of(OptionValues.reduceOp("-o", op))
            : NcclTests.showsOp(what) ? OptionValues.reduceOps() : List.of(new ReduceOp.Sum());
    return asked.stream().filter(each -> !what.reduces() || each.joins(dtype)).toList();
  }

  private List<Integer> roots(int ranks) {
    if (!kind().hasRoot()) {
      return List.of(Math.max(0, root));
    }
    return root == ALL_ROOTS ? IntStream.range(0, ranks).boxed().toList() : List.of(root);
  }

  private Optional<Algorithm> algorithm() {
    String name = algorithm;
    return name == null
        ? Optional.empty()
        : Optional.of(OptionValues.algorithm("--algorithm", name, kind()));
  }

  /// Refuses an algorithm that cannot do what is asked on any links, neither in place nor out of
  /// it.
  private void requireAble(PerfPlan plan, int ranks) {
    EvenCollective what = plan.collective();
    long count = what.count(plan.sizes().minBytes(), ranks);
    if (plan.algorithm().isEmpty() || count == 0) {
      return;
    }
    Optional<String> refusal = Optional.empty();
    for (boolean peerMemory : new boolean[] {true, false}) {
      Topology topology = Topology.oneNode(ranks, peerMemory);
      refusal = PerfRank.refusal(plan.algorithm().get(), what, count, topology);
      if (refusal.isEmpty()) {
        return;
      }
    }
    throw wrong("--algorithm", plan.algorithm().get().name(), refusal.orElseThrow());
  }

  /// Returns how many ranks the command starts.
  int ranks() {
    return ranks == null ? USUAL_RANKS : ranks;
  }

  boolean inProcess() {
    return inProcess;
  }

  boolean verbose() {
    return verbose;
  }

  @Nullable Path json() {
    return json;
  }

  private CollectiveKind kind() {
    return OptionValues.kind(collective, NcclTests.kinds());
  }

  private static int atLeast(String option, int value, int least) {
    require(value >= least, option, Integer.toString(value), "must be at least " + least);
    return value;
  }
}
