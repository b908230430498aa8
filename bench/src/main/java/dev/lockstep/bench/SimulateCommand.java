package dev.lockstep.bench;

import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Simulation;
import dev.lockstep.launcher.CommandProvider;
import java.io.PrintStream;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Command;

/// `lockstep simulate COLLECTIVE --fabric F --ranks N --bytes B`: times the schedule that would run
/// on a described fabric.
public final class SimulateCommand implements CommandProvider {
  private static final String VERB = "simulate";

  @Command(
      name = VERB,
      sortOptions = false,
      usageHelpWidth = 100,
      description = "Times a collective's schedule on a described fabric, alike ranks folded.")
  private static final class Options extends PlanOptions {}

  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public SimulateCommand() {}

  @Override
  public String name() {
    return VERB;
  }

  @Override
  public String summary() {
    return "times a collective on a described fabric, up to millions of ranks";
  }

  @Override
  public int run(List<String> arguments, PrintStream out, PrintStream err) {
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
    long start = System.nanoTime();
    Fabric fabric = options.requiredFabric();
    CollectiveRequest request = options.request(fabric, options.ranks());
    print(out, fabric, Timed.alone(options, request, fabric, err));
    out.printf(Locale.ROOT, "simulated in   %.2f s wall%n", (System.nanoTime() - start) / 1e9);
    return 0;
  }

  private static void print(PrintStream out, Fabric fabric, Timed timed) {
    CollectiveRequest request = timed.table().request();
    Simulation simulation = timed.simulation();
    double nanos = simulation.nanos();
    long bytes = request.bufferElements() * request.dtype().bytes();
    out.println("collective     " + request.words());
    out.printf(
        Locale.ROOT,
        "fabric         %s, %d ranks, %s%n",
        fabric.name(),
        request.ranks(),
        request.mode().name().toLowerCase(Locale.ROOT).replace('_', '-'));
    out.println("algorithm      " + timed.choice().algorithm());
    out.printf(Locale.ROOT, "time           %.3f us%n", nanos / 1000);
    out.printf(Locale.ROOT, "algbw          %.3f GB/s%n", nanos > 0 ? bytes / nanos : 0);
    for (Simulation.Traffic traffic : simulation.traffic()) {
      out.printf(
          Locale.ROOT,
          "carried        %-16s %,d messages, %,d bytes%n",
          traffic.level(),
          traffic.messages(),
          traffic.bytes());
    }
    out.printf(
        Locale.ROOT,
        "simulated      %,d of %,d ranks, %,d of %,d steps%n",
        simulation.programs(),
        request.ranks(),
        simulation.steps(),
        simulation.stepsOfAllRanks());
  }
}
