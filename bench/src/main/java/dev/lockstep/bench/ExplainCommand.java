package dev.lockstep.bench;

import dev.lockstep.bench.step.StepExplain;
import dev.lockstep.collective.algorithm.Algorithm;
import dev.lockstep.collective.plan.Candidate;
import dev.lockstep.collective.plan.CostTable;
import dev.lockstep.collective.plan.Explanation;
import dev.lockstep.collective.plan.Planner;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Simulator;
import dev.lockstep.launcher.CommandProvider;
import java.io.PrintStream;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/// `lockstep explain COLLECTIVE`: what every algorithm would cost, which one is chosen and why, and
/// what it does step by step.
public final class ExplainCommand implements CommandProvider {
  private static final String VERB = "explain";

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
    Fabric fabric = options.requiredFabric();
    CollectiveRequest request = options.request(PlanOptions.topology(fabric, options.ranks()));
    CostTable table = Planner.costs(request, fabric);
    Optional<Algorithm> named = options.algorithm();
    Candidate choice =
        named.isPresent() ? PlanOptions.asked(table, named.get().name()) : table.choice();
    Explanation explanation =
        new Explanation(
            table,
            choice,
            Simulator.run(Objects.requireNonNull(choice.schedule(), "refused"), fabric));
    out.print(
        switch (options.format) {
          case "chrome-trace" -> explanation.chromeTrace();
          case "dot" -> explanation.dot();
          default -> explanation.text();
        });
    return 0;
  }
}
