package dev.lockstep.bench.step;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.train.Layout;
import dev.lockstep.train.PlannedExchange;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.StepPlan;
import dev.lockstep.train.TrainerOptions;
import java.io.PrintStream;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/// What an uneven layout costs: for how long ranks that have less to do wait for the busiest, and
/// what a step would take if every place of `dp` had a power of two of lanes, one subtree of the
/// sum.
///
/// @param plan of the busiest rank
/// @param options the user's
/// @param trainer options of a rank
/// @param rates of this machine
record UnevenExplain(StepPlan plan, StepOptions options, TrainerOptions trainer, Rates rates) {
  /// Prints what there is to say; nothing of an even layout.
  void print(MemoryPool pool, PrintStream out) {
    Recipe.BatchShape batch = options.recipe().batch();
    int places = options.layout().size(Layout.DATA, options.ranks());
    LaneSplit split = LaneSplit.contiguous(batch.lanes(), places);
    boolean isEven = batch.lanes() % places == 0;
    if (!isEven || sharesPositions()) {
      printWait(pool, out);
    }
    // Ranks that hold shards of sums take lanes in rounds instead.
    boolean isFitting = isEven && (options.layout().zero() > 1 || split.isOneSubtreePerRank());
    if (!isFitting) {
      String lanes =
          split.ranks().stream()
              .map(held -> "" + held.stream().mapToInt(each -> each.size()).sum())
              .collect(Collectors.joining(", "));
      line(out, "lanes      places of dp have %s of %d lanes", lanes, batch.lanes());
      printFitting(pool, batch, places * powerOfTwo(batch.lanes() / (double) places), out);
    }
  }

  /// A query sees the keys before it: the last positions have more to do than the first.
  private boolean sharesPositions() {
    return options.layout().size(Layout.CONTEXT, options.ranks()) > 1
        || (options.layout().sequenceParallel()
            && options.layout().size(Layout.EXPERT, options.ranks()) > 1);
  }

  private void printWait(MemoryPool pool, PrintStream out) {
    try (StepPlan least = StepPlan.ofLeastBusy(pool, options.recipe(), trainer, options.ranks())) {
      double most = rates.seconds(plan);
      double fewest = rates.seconds(least);
      line(
          out,
          "uneven     rank %d computes for %.3f ms of a step, rank %d for %.3f ms: it waits for"
              + " %.1f %% of the time",
          plan.rank(),
          most * 1e3,
          least.rank(),
          fewest * 1e3,
          Math.max(0, 1 - fewest / most) * 100);
    }
  }

  /// The nearest power of two.
  private static int powerOfTwo(double lanes) {
    int below = Integer.highestOneBit((int) lanes);
    return lanes - below <= 2 * below - lanes ? below : 2 * below;
  }

  private void printFitting(MemoryPool pool, Recipe.BatchShape batch, int lanes, PrintStream out) {
    Recipe fitting = options.recipe().withBatch(Recipe.BatchShape.of(lanes, batch.microBatch()));
    try (StepPlan other = new StepPlan(pool, fitting, trainer, options.ranks())) {
      line(
          out,
          "fitting    with --lanes %d, a power of two for each place, a lane takes %.3f ms of the"
              + " step instead of %.3f,",
          lanes,
          rates.seconds(other) / lanes * 1e3,
          rates.seconds(plan) / batch.lanes() * 1e3);
      line(
          out,
          "           sums of gradients %,d bytes instead of %,d, and a rank sends %,d bytes along"
              + " dp for a lane instead of %,d",
          sums(other),
          sums(plan),
          sent(other) / lanes,
          sent(plan) / batch.lanes());
    }
  }

  private static long sums(StepPlan plan) {
    Map<String, Long> memory = plan.memory();
    return memory.getOrDefault("gradients", 0L)
        + memory.getOrDefault("gradient sums", 0L)
        + memory.getOrDefault("gradient shards", 0L);
  }

  private static long sent(StepPlan plan) {
    return plan.exchanges().stream()
        .filter(exchange -> exchange.axis().equals(Layout.DATA))
        .mapToLong(PlannedExchange::sentBytesPerStep)
        .sum();
  }

  private static void line(PrintStream out, String format, Object... values) {
    out.printf(Locale.ROOT, format + "%n", values);
  }
}
