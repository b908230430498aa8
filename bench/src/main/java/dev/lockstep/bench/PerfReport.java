package dev.lockstep.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.bench.step.JsonFile;
import dev.lockstep.collective.request.EvenCollective;
import dev.lockstep.collective.request.Mode;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.math.MathContext;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/// Prints a run in nccl-tests' columns and closing lines, and keeps it for JSON.
final class PerfReport {
  private final PerfPlan plan;
  private final PrintStream out;
  private final Instant start = Instant.now();
  private final List<PerfRow> rows = new ArrayList<>();
  private final List<PerfChoice> choices = new ArrayList<>();
  private final int ranks;
  private final boolean verbose;
  private final String transport;
  private String links = "";

  /// Begins a report.
  ///
  /// @param plan the first one of what is measured; others have other types, ops and roots
  PerfReport(PerfPlan plan, int ranks, String transport, boolean verbose, PrintStream out) {
    this.plan = plan;
    this.verbose = verbose;
    this.ranks = ranks;
    this.transport = transport;
    this.out = out;
  }

  /// Prints the header.
  ///
  /// @param rankLines one line per rank: who it is
  /// @param predictedBy whence the constants are by which times are predicted
  void begin(List<String> rankLines, String predictedBy) {
    links = predictedBy;
    PerfSizes sizes = plan.sizes();
    PerfTiming timing = plan.timing();
    String step =
        sizes.stepBytes() > 0 ? sizes.stepBytes() + "(bytes)" : sizes.stepFactor() + "(factor)";
    out.println("# Collective test starting: " + plan.collective().kind().label() + "_perf");
    out.printf(
        Locale.ROOT,
        "# nThread 1 nGpus 0 minBytes %d maxBytes %d step: %s warmup iters: %d iters: %d agg iters:"
            + " 1 validation: %d graph: 0%n",
        sizes.minBytes(),
        sizes.maxBytes(),
        step,
        timing.warmups().orElse(WarmUp.LEAST),
        timing.iterations(),
        timing.checks() ? 1 : 0);
    out.printf(
        Locale.ROOT,
        "# nRanks %d transport: %s buffers: %s bits: %s%n",
        ranks,
        transport,
        buffers(),
        plan.collective().mode() == Mode.SAME_BITS ? "same on any layout" : "relaxed");
    out.println("#");
    out.println("# Using devices");
    rankLines.forEach(line -> out.println("#  " + line));
    out.println("#");
    if (plan.choices() || verbose) {
      out.println("# Predicted by links: " + links);
      out.println("#");
    }
    if (plan.choices()) {
      out.println(PerfChoice.header());
      out.flush();
      return;
    }
    out.println(
        "#                                                              out-of-place               "
            + "        in-place");
    out.println(
        "#       size         count      type   redop    root     time   algbw   busbw  #wrong    "
            + " time   algbw   busbw  #wrong");
    out.println(
        "#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            "
            + " (us)  (GB/s)  (GB/s)");
    out.flush();
  }

  void add(PerfRow row) {
    rows.add(row);
    out.println(row.columns());
    if (verbose) {
      out.println(row.details());
    }
    out.flush();
  }

  void add(PerfChoice choice) {
    choices.add(choice);
    out.println(choice.columns());
    if (verbose) {
      out.println(choice.details());
    }
    out.flush();
  }

  private String buffers() {
    return plan.timing().dirty() || plan.choices() ? "dirty" : "clean";
  }

  void end() {
    if (plan.choices()) {
      PerfChoice.summary(choices).forEach(out::println);
      out.println("#");
      out.println("# Collective test concluded: " + plan.collective().kind().label() + "_perf");
      out.flush();
      return;
    }
    out.println("# Out of bounds values : " + wrong() + (wrong() == 0 ? " OK" : " FAILED"));
    out.println("# Avg bus bandwidth    : " + general(averageBusBandwidth()));
    out.println("#");
    out.println("# Collective test concluded: " + plan.collective().kind().label() + "_perf");
    out.flush();
  }

  /// Returns a number as C's `%g` writes it.
  static String general(double value) {
    BigDecimal rounded = new BigDecimal(value).round(new MathContext(6)).stripTrailingZeros();
    int exponent = rounded.precision() - rounded.scale() - 1;
    if (rounded.signum() == 0 || (exponent >= -4 && exponent < 6)) {
      return rounded.toPlainString();
    }
    return String.format(
        Locale.ROOT, "%se%+03d", rounded.movePointLeft(exponent).toPlainString(), exponent);
  }

  /// Number of wrong elements over all rows.
  long wrong() {
    long wrong = 0;
    for (PerfRow row : rows) {
      for (PerfRow.Timing timing : row.timings()) {
        wrong += Math.max(0, timing.wrong());
      }
    }
    return wrong;
  }

  private double averageBusBandwidth() {
    return rows.stream()
        .flatMap(row -> row.timings().stream())
        .mapToDouble(PerfRow.Timing::busBandwidth)
        .average()
        .orElse(0);
  }

  void writeJson(Path path) {
    ObjectMapper json = new ObjectMapper();
    ObjectNode root = json.createObjectNode();
    root.put("start_time", start.toString());
    root.put("collective", plan.collective().kind().label());
    root.put("ranks", ranks);
    root.put("transport", transport);
    root.put("links", links);
    root.put("buffers", buffers());
    putWhat(root, plan.collective());
    root.put("bits", plan.collective().mode().name());
    root.put("iterations", plan.timing().iterations());
    ArrayNode results = root.putArray("results");
    for (PerfRow row : rows) {
      ObjectNode result = results.addObject().put("size", row.bytes()).put("count", row.count());
      putWhat(result, row.collective());
      put(result, "out_of_place", row.outOfPlace());
      put(result, "in_place", row.inPlace());
    }
    if (plan.choices()) {
      putChoices(root.putArray("choices"));
    } else {
      root.put("out_of_bounds", wrong());
      root.put("average_bus_bandwidth", averageBusBandwidth());
    }
    JsonFile.write(path, root);
  }

  private static void putWhat(ObjectNode node, EvenCollective collective) {
    node.put("type", NcclTests.type(collective.dtype()));
    node.put("redop", NcclTests.op(collective));
    node.put("root", NcclTests.root(collective));
  }

  private void putChoices(ArrayNode nodes) {
    for (PerfChoice row : choices) {
      ObjectNode node = nodes.addObject().put("size", row.bytes()).put("chosen", row.chosen());
      node.put("ratio", row.ratio()).put("start", row.how().start().label());
      node.put("rounds", row.how().rounds());
      ArrayNode algorithms = node.putArray("algorithms");
      for (PerfChoice.Measured each : row.measured()) {
        ObjectNode one = algorithms.addObject().put("algorithm", each.by().algorithm());
        one.put("median", each.micros());
        each.by().predictedMicros().ifPresent(micros -> one.put("predicted", micros));
      }
    }
  }

  private static void put(ObjectNode result, String form, PerfRow.@Nullable Timing timing) {
    if (timing == null) {
      result.putNull(form);
      return;
    }
    ObjectNode node = result.putObject(form);
    node.put("algorithm", timing.by().algorithm());
    timing.by().predictedMicros().ifPresent(micros -> node.put("predicted", micros));
    node.put("time", timing.micros());
    node.put("alg_bw", timing.algBandwidth());
    node.put("bus_bw", timing.busBandwidth());
    node.put("min", timing.spread().min());
    node.put("median", timing.spread().median());
    node.put("p99", timing.spread().p99());
    node.put("max", timing.spread().max());
    node.put("repeated", timing.spread().repeated());
    node.put("start", timing.spread().start().label());
    if (timing.wrong() >= 0) {
      node.put("nwrong", timing.wrong());
    }
  }
}
