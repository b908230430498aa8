package dev.lockstep.bench;

import static dev.lockstep.bench.OptionValues.require;
import static dev.lockstep.bench.OptionValues.wrong;

import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.plan.Candidate;
import dev.lockstep.collective.plan.CostTable;
import dev.lockstep.collective.request.CollectiveKind;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.EvenCollective;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.tensor.DType;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/// The options that `lockstep simulate` and `lockstep explain` share.
class PlanOptions {
  private static final int MOST_RANKS = 16_777_216;

  /// 16 TiB, more than any device has; their time in picoseconds is still a number.
  private static final long MOST_BYTES = 1L << 44;

  @Parameters(index = "0", paramLabel = "COLLECTIVE", description = "for example all_reduce")
  private String collective = "";

  @Option(
      names = "--bytes",
      paramLabel = "SIZE",
      description = "bytes of the whole buffer (default ${DEFAULT-VALUE})")
  private String bytes = "1M";

  @Option(
      names = "--ranks",
      paramLabel = "N",
      description = "number of ranks (default ${DEFAULT-VALUE})")
  private int ranks = 2;

  @Option(
      names = "--fabric",
      paramLabel = "F",
      description =
          "a known fabric, or a JSON file that describes one; explain without it speaks of this"
              + " host")
  private @Nullable String fabric;

  @Option(
      names = "--algorithm",
      paramLabel = "NAME",
      description = "this algorithm instead of the cheapest")
  private @Nullable String algorithm;

  @Option(
      names = "--mode",
      paramLabel = "M",
      description = "same-bits or relaxed (default: same-bits on this host, relaxed on a fabric)")
  private @Nullable String mode;

  @Option(
      names = {"-o", "--op"},
      paramLabel = "OP",
      description =
          "sum, prod, min, max, avg, mulsum, band, bor, bxor, land, lor or lxor (default"
              + " ${DEFAULT-VALUE})")
  private String op = "sum";

  @Option(
      names = {"-d", "--datatype"},
      paramLabel = "TYPE",
      description = "float, double, half, bfloat16, int32 … (default ${DEFAULT-VALUE})")
  private String type = "float";

  @Option(
      names = {"-r", "--root"},
      paramLabel = "RANK",
      description = "root of rooted collectives (default ${DEFAULT-VALUE})")
  private int root;

  @Option(
      names = "--in-place",
      description =
          "input and output share their memory (the default, but of alltoall and sendrecv)")
  private boolean inPlace;

  @Option(names = "--out-of-place", description = "input and output have memory of their own")
  private boolean outOfPlace;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "shows this")
  private boolean help;

  /// Reads the arguments into these options.
  ///
  /// @throws ConfigurationException if one is unknown or wrong; the sentence names it
  final void parse(String verb, List<String> arguments) {
    OptionValues.parse(this, verb, arguments);
  }

  final String help(String verb) {
    StringWriter text = new StringWriter();
    new CommandLine(this)
        .setCommandName("lockstep " + verb)
        .usage(new PrintWriter(text), CommandLine.Help.Ansi.OFF);
    return text.toString();
  }

  final boolean asksForHelp() {
    return help;
  }

  final int ranks() {
    require(ranks >= 1 && ranks <= MOST_RANKS, "--ranks", "" + ranks, "must be 1 to " + MOST_RANKS);
    return ranks;
  }

  /// Returns the fabric that was named.
  final Optional<Fabric> fabric() {
    return fabric == null ? Optional.empty() : Optional.of(FabricFile.load(fabric));
  }

  final Fabric requiredFabric() {
    return fabric()
        .orElseThrow(
            () -> wrong("--fabric", "", "is needed: a known fabric or a JSON file, see --help"));
  }

  /// Returns the algorithm that was named.
  final Optional<Algorithm> algorithm() {
    String name = algorithm;
    if (name == null) {
      return Optional.empty();
    }
    return Optional.of(OptionValues.algorithm("--algorithm", name, kind()));
  }

  /// Returns the topology of the ranks on a fabric: its levels as far as they have more than one
  /// group. Devices do not read each other's memory in place.
  private static Topology topology(Fabric fabric, int ranks) {
    List<Integer> levels = new ArrayList<>();
    for (Level level : fabric.levels()) {
      if (level.ranks() > 1 && level.ranks() < ranks) {
        levels.add((int) level.ranks());
      }
    }
    return new Topology(ranks, levels, false);
  }

  /// Returns what is asked of as many ranks on a fabric.
  final CollectiveRequest request(Fabric fabric, int ranks) {
    return request(topology(fabric, ranks));
  }

  /// Returns what is asked of the ranks of a topology; sizes mean what they mean in nccl-tests.
  final CollectiveRequest request(Topology topology) {
    int ranks = topology.ranks();
    DType type = OptionValues.dtype("-d", this.type);
    long size = OptionValues.size("--bytes", bytes);
    long elements = size / type.bytes();
    require(
        elements * type.bytes() == size,
        "--bytes",
        bytes,
        "must be whole elements of " + type.bytes());
    require(size <= MOST_BYTES, "--bytes", bytes, "must be at most " + (MOST_BYTES >> 30) + "G");
    require(
        !kind().isInParts() || size == 0 || elements >= ranks,
        "--bytes",
        bytes,
        "must be at least %d, an element of each of %d ranks"
            .formatted((long) ranks * type.bytes(), ranks));
    require(
        root >= 0 && root < ranks(), "--root", "" + root, "must be a rank, 0 to " + (ranks() - 1));
    ReduceOp reduceOp = OptionValues.reduceOp("-o", op);
    require(
        !kind().reduces() || reduceOp.joins(type),
        "-o",
        op,
        "not defined for elements of type " + this.type);
    EvenCollective collective = new EvenCollective(kind(), type, reduceOp, root, mode(topology));
    return collective.request(collective.count(size, ranks), isInPlace(), topology);
  }

  /// Returns whether input and output share their memory: if nothing is said, as most callers have
  /// it.
  private boolean isInPlace() {
    require(
        !(inPlace && outOfPlace),
        "--in-place",
        "",
        "--in-place and --out-of-place exclude each other");
    boolean usual = kind() != CollectiveKind.ALL_TO_ALL && kind() != CollectiveKind.SEND_RECEIVE;
    return inPlace || (usual && !outOfPlace);
  }

  private CollectiveKind kind() {
    return OptionValues.kind(collective, List.of(CollectiveKind.values()));
  }

  private Mode mode(Topology topology) {
    if (mode == null) {
      return topology.peerMemory() ? Mode.SAME_BITS : Mode.RELAXED;
    }
    return switch (mode) {
      case "same-bits" -> Mode.SAME_BITS;
      case "relaxed" -> Mode.RELAXED;
      default -> throw wrong("--mode", mode, "must be same-bits or relaxed");
    };
  }

  /// Returns a named algorithm's row.
  ///
  /// @throws ConfigurationException if it cannot do what is asked, or cannot be simulated
  static Candidate asked(CostTable table, String name) {
    for (Candidate candidate : table.candidates()) {
      if (candidate.algorithm().equals(name)) {
        require(candidate.nanos().isPresent(), "--algorithm", name, candidate.reason());
        return candidate;
      }
    }
    throw wrong(
        "--algorithm", name, "is for other collectives than " + table.request().kind().label());
  }
}
