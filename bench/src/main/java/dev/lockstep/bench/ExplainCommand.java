package dev.lockstep.bench;

import dev.lockstep.bench.step.StepExplain;
import dev.lockstep.collective.plan.Explanation;
import dev.lockstep.collective.plan.LinkTable;
import dev.lockstep.collective.plan.Planner;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.launcher.CommandProvider;
import java.io.PrintStream;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `lockstep explain COLLECTIVE`: what every algorithm would cost, which one is chosen and why, and
/// what it does step by step.
public final class ExplainCommand implements CommandProvider {
  private static final String VERB = "explain";
  private static final int MOST_HOST_RANKS = 64;

  @Command(
      name = VERB,
      sortOptions = false,
      usageHelpWidth = 100,
      description = "Says how a collective would run, what else was possible, and why not.")
  private static final class Options extends PlanOptions {
    @Option(
        names = "--format",
        paramLabel = "F",
        description = "text, chrome-trace or dot (default ${DEFAULT-VALUE})")
    private String format = "text";

    @Option(
        names = "--transport",
        paramLabel = "T",
        description = "without --fabric: shm, aeron-ipc or aeron-udp (default: chosen)")
    private String transport = "";

    @Option(
        names = "--fit",
        description = "without --fabric: measure this host's links anew, whatever is kept")
    private boolean fit;
  }

  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public ExplainCommand() {}

  @Override
  public String name() {
    return VERB;
  }

  @Override
  public String summary() {
    return "says how a collective would run, what it would cost, and why";
  }

  @Override
  public int run(List<String> arguments, PrintStream out, PrintStream err) throws Exception {
    if (!arguments.isEmpty() && arguments.getFirst().equals(PerfCommand.STEP)) {
      return StepExplain.run(arguments.subList(1, arguments.size()), out);
    }
    Options options = new Options();
    if (arguments.isEmpty()) {
      out.print(options.help(VERB));
      return 2;
    }
    options.parse(VERB, arguments);
    if (options.asksForHelp()) {
      out.print(options.help(VERB));
      return 0;
    }
    OptionValues.require(
        List.of("text", "chrome-trace", "dot").contains(options.format),
        "--format",
        options.format,
        "must be text, chrome-trace or dot");
    Optional<Fabric> named = options.fabric();
    if (named.isEmpty()) {
      return host(options, out, err);
    }
    OptionValues.require(
        options.transport.isEmpty(),
        "--transport",
        options.transport,
        "is for this host: leave out --fabric");
    OptionValues.require(!options.fit, "--fit", "true", "is for this host: leave out --fabric");
    CollectiveRequest request = options.request(named.get(), options.ranks());
    return explain(options, Timed.besideOthers(options, request, named.get(), err), "", out);
  }

  /// Ranks of this host, by what was measured of it.
  private static int host(Options options, PrintStream out, PrintStream err) throws Exception {
    OptionValues.require(
        options.ranks() <= MOST_HOST_RANKS,
        "--ranks",
        "" + options.ranks(),
        "must be at most " + MOST_HOST_RANKS + " on this host, or name a --fabric");
    // What is wrong is said before ranks are started.
    var _ = options.request(Topology.oneNode(options.ranks(), true));
    var _ = options.algorithm();
    LinkTable links = HostLinks.table(options.ranks(), options.transport, options.fit, err);
    boolean peerMemory = links.fabric().levels().getFirst().shortBytes() > 0;
    CollectiveRequest request = options.request(Topology.oneNode(options.ranks(), peerMemory));
    // As a job on this host chooses, and no more thoroughly.
    Timed timed =
        Timed.of(
            options, request, links.fabric(), _ -> new Planner(links.fabric()).costs(request), err);
    return explain(options, timed, HostLinks.words(links), out);
  }

  private static int explain(Options options, Timed timed, String links, PrintStream out) {
    Explanation explanation = new Explanation(timed.table(), timed.choice(), timed.simulation());
    out.print(
        switch (options.format) {
          case "chrome-trace" -> explanation.chromeTrace();
          case "dot" -> explanation.dot();
          default -> links + explanation.text();
        });
    return 0;
  }
}
