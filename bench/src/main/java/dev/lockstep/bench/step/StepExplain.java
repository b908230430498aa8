package dev.lockstep.bench.step;

import dev.lockstep.device.PlannedStep;
import dev.lockstep.device.Program;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.train.PlannedExchange;
import dev.lockstep.train.StepPlan;
import dev.lockstep.train.TrainerOptions;
import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/// `lockstep explain step MODEL`, or `perf step MODEL --plan`: what a training step does on the
/// busiest rank, op by op, with bytes, FLOPs, a predicted time, the collectives along each axis and
/// what hides them, and the memory that the rank holds. Compiles the programs; trains nothing.
public final class StepExplain {
  private StepExplain() {}

  /// Runs the command and returns its exit code.
  ///
  /// @param arguments what follows the words `explain step`
  /// @throws ConfigurationException if an option is wrong
  public static int run(List<String> arguments, PrintStream out) {
    return run(arguments, out, Rates::measure);
  }

  /// Runs the command with rates that come from elsewhere.
  static int run(
      List<String> arguments, PrintStream out, Function<TrainerOptions, Rates> measured) {
    if (arguments.isEmpty() || arguments.contains("--help") || arguments.contains("-h")) {
      out.print(StepOptions.help("lockstep explain step"));
      return arguments.isEmpty() ? 2 : 0;
    }
    StepOptions options = StepOptions.parse(arguments);
    int share = Math.max(1, Runtime.getRuntime().availableProcessors() / options.ranks());
    // Only programs are compiled, and their memory is touched when they run: they do not.
    try (MemoryPool pool = MemoryPool.root("explain", Long.MAX_VALUE);
        StepPlan plan =
            new StepPlan(pool, options.recipe(), options.trainerOptions(share), options.ranks())) {
      Rates rates = measured.apply(options.trainerOptions(share));
      print(plan, options, rates, out);
      printSequence(pool, plan, options, share, out);
      new UnevenExplain(plan, options, options.trainerOptions(share), rates).print(pool, out);
      if (options.stages() > 1) {
        PipelineExplain.print(pool, options, share, rates, out);
      }
      out.flush();
      return 0;
    }
  }

  private static void print(StepPlan plan, StepOptions options, Rates rates, PrintStream out) {
    line(out, "# %s", plan.device().description());
    line(
        out,
        "# %s: %,d parameters, rank %d of %d, %d lanes of %d windows of %d tokens",
        options.recipe().model().family(),
        options.recipe().model().parameters(),
        plan.rank(),
        options.ranks(),
        options.recipe().batch().lanes(),
        options.recipe().batch().microBatch(),
        options.recipe().model().context());
    line(
        out,
        "# measured here: products %.1f GFLOP/s, element-wise work %.1f GB/s",
        rates.productFlopsPerSecond() / 1e9,
        rates.bytesPerSecond() / 1e9);
    double seconds = rates.seconds(plan);
    long flops = 0;
    for (Map.Entry<String, List<Program>> part : plan.programs().entrySet()) {
      int runs = plan.runs().getOrDefault(part.getKey(), 1);
      line(out, "");
      line(out, "%s, run %d times", part.getKey(), runs);
      for (Program program : part.getValue()) {
        for (PlannedStep step : program.steps()) {
          double predicted = rates.seconds(step);
          flops += runs * step.cost().flops();
          line(
              out,
              "  %-68s %,16d FLOPs %,14d bytes %10.3f ms",
              step.label(),
              step.cost().flops(),
              step.cost().bytes(),
              predicted * 1e3);
        }
      }
    }
    printExchanges(plan, out);
    line(out, "");
    plan.memory().forEach((what, bytes) -> line(out, "%-20s %,16d bytes", what, bytes));
    line(out, "%-20s %,16d bytes", "peak memory", plan.peakBytes());
    line(
        out,
        "predicted step       %,16.3f ms, %,d FLOPs, %,.0f tokens/s on this rank (exchange not"
            + " included)",
        seconds * 1e3,
        flops,
        options.recipe().tokensPerStep() / (double) options.ranks() / seconds);
  }

  /// What it saves that ranks of `tp` share out positions, too.
  private static void printSequence(
      MemoryPool pool, StepPlan plan, StepOptions options, int share, PrintStream out) {
    if (!options.layout().sequenceParallel()) {
      return;
    }
    TrainerOptions whole =
        options.trainerOptions(share).withLayout(options.layout().withSequenceParallel(false));
    try (StepPlan other = new StepPlan(pool, options.recipe(), whole, options.ranks())) {
      line(
          out,
          "sequence parallelism saves %,d of %,d bytes; a rank sends %,d bytes in a step instead of"
              + " %,d",
          other.peakBytes() - plan.peakBytes(),
          other.peakBytes(),
          sentBytes(plan),
          sentBytes(other));
    }
  }

  private static long sentBytes(StepPlan plan) {
    return plan.exchanges().stream().mapToLong(PlannedExchange::sentBytesPerStep).sum();
  }

  private static void printExchanges(StepPlan plan, PrintStream out) {
    Map<String, Long> sent = new LinkedHashMap<>();
    for (PlannedExchange exchange : plan.exchanges()) {
      if (sent.isEmpty()) {
        line(out, "");
        line(out, "collectives");
      }
      sent.merge(exchange.axis(), exchange.sentBytesPerStep(), Long::sum);
      line(
          out,
          "  %-3s %-40s %5d times %,14d bytes %,14d sent each  %s",
          exchange.axis(),
          exchange.what(),
          exchange.times(),
          exchange.bytes(),
          exchange.sentBytes(),
          exchange.behind().isEmpty() ? "waited for" : "behind " + exchange.behind());
    }
    sent.forEach(
        (axis, bytes) -> line(out, "  %-3s %,d bytes sent by a rank in a step", axis, bytes));
    long hidden =
        plan.exchanges().stream()
            .filter(exchange -> !exchange.behind().isEmpty())
            .mapToLong(PlannedExchange::sentBytesPerStep)
            .sum();
    if (!sent.isEmpty()) {
      line(out, "  %,d of them while something is computed", hidden);
    }
  }

  private static void line(PrintStream out, String format, Object... values) {
    out.printf(Locale.ROOT, format + "%n", values);
  }
}
