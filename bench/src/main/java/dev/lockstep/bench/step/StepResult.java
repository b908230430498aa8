package dev.lockstep.bench.step;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.lockstep.train.Recipe;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// What a benchmark of training steps found on rank 0.
///
/// @param recipe what was trained
/// @param device what computed
/// @param ranks world size
/// @param steps timed steps
/// @param medianNanos median over the steps
/// @param allocatedBytes heap bytes that all threads but the control plane's allocated, median over
///   the steps
/// @param parts kernel calls of each program, time per step
record StepResult(
    Recipe recipe,
    String device,
    int ranks,
    int steps,
    double medianNanos,
    double allocatedBytes,
    Map<String, List<Kernel>> parts) {

  /// A kernel call, or the sum over calls of one kernel.
  ///
  /// @param nanos time per step
  /// @param leastNanos time of the fastest run, warm-up included
  record Kernel(
      String kernel, String label, long flops, long bytes, double nanos, double leastNanos) {
    Kernel plus(Kernel other) {
      return new Kernel(
          kernel,
          label,
          flops + other.flops,
          bytes + other.bytes,
          nanos + other.nanos,
          leastNanos + other.leastNanos);
    }

    double millis() {
      return nanos / 1e6;
    }

    double gigaFlops() {
      return nanos == 0 ? 0 : flops / nanos;
    }

    double gigaBytes() {
      return nanos == 0 ? 0 : bytes / nanos;
    }
  }

  double millisPerStep() {
    return medianNanos / 1e6;
  }

  double tokensPerSecond() {
    return recipe.tokensPerStep() * 1e9 / medianNanos;
  }

  private static double millis(List<Kernel> calls) {
    return calls.stream().mapToDouble(Kernel::millis).sum();
  }

  /// What one run of a part takes if each of its calls takes what it took at best: on a machine
  /// that others use too, nearest to what it takes alone.
  private static double leastMillis(List<Kernel> calls) {
    return calls.stream().mapToDouble(Kernel::leastNanos).sum() / 1e6;
  }

  /// Sums over the calls of one kernel, or of one kernel with the same shapes; the longest first.
  private static List<Kernel> summed(List<Kernel> calls, boolean byLabel) {
    Map<String, Kernel> sums = new LinkedHashMap<>();
    for (Kernel call : calls) {
      sums.merge(byLabel ? call.label : call.kernel, call, Kernel::plus);
    }
    List<Kernel> sorted = new ArrayList<>(sums.values());
    sorted.sort(Comparator.comparingDouble(Kernel::nanos).reversed());
    return sorted;
  }

  void print(PrintStream out) {
    out.printf(Locale.ROOT, "# %s%n", device);
    out.printf(
        Locale.ROOT,
        "# %s: %,d parameters, %d ranks, %d lanes of %d windows of %d tokens, %d steps%n",
        recipe.model().family(),
        recipe.model().parameters(),
        ranks,
        recipe.batch().lanes(),
        recipe.batch().microBatch(),
        recipe.model().context(),
        steps);
    out.printf(
        Locale.ROOT,
        "%.2f ms/step, %,.0f tokens/s, %.0f bytes allocated per step%n",
        millisPerStep(),
        tokensPerSecond(),
        allocatedBytes);
    parts.forEach(
        (part, calls) -> {
          out.printf(
              Locale.ROOT,
              "%n%-10s %10.3f ms, a run at best %.3f ms%n",
              part,
              millis(calls),
              leastMillis(calls));
          for (Kernel kernel : summed(calls, false)) {
            row(out, "  " + kernel.kernel, kernel);
            for (Kernel shape : summed(of(calls, kernel.kernel), true)) {
              row(out, "    " + shape.label, shape);
            }
          }
        });
    out.flush();
  }

  private static List<Kernel> of(List<Kernel> calls, String kernel) {
    return calls.stream().filter(call -> call.kernel.equals(kernel)).toList();
  }

  private static void row(PrintStream out, String name, Kernel kernel) {
    out.printf(
        Locale.ROOT,
        "%-64s %10.3f ms %8.1f GFLOP/s %8.1f GB/s%n",
        name,
        kernel.millis(),
        kernel.gigaFlops(),
        kernel.gigaBytes());
  }

  void write(Path file) throws IOException {
    ObjectMapper json = new ObjectMapper();
    ObjectNode root = json.createObjectNode();
    root.put("model", recipe.model().family());
    root.set("recipe", json.readTree(recipe.toJson()));
    root.put("device", device);
    root.put("ranks", ranks);
    root.put("steps", steps);
    root.put("tokensPerSecond", tokensPerSecond());
    root.put("millisecondsPerStep", millisPerStep());
    root.put("allocatedBytesPerStep", allocatedBytes);
    ObjectNode millis = root.putObject("millisecondsPerPart");
    parts.forEach((part, calls) -> millis.put(part, millis(calls)));
    ObjectNode least = root.putObject("leastMillisecondsPerRun");
    parts.forEach((part, calls) -> least.put(part, leastMillis(calls)));
    ObjectNode kernels = root.putObject("kernels");
    parts.forEach(
        (part, calls) -> {
          ArrayNode rows = kernels.putArray(part);
          for (Kernel kernel : summed(calls, true)) {
            rows.addObject()
                .put("kernel", kernel.label)
                .put("milliseconds", kernel.millis())
                .put("gigaFlopsPerSecond", kernel.gigaFlops())
                .put("gigaBytesPerSecond", kernel.gigaBytes());
          }
        });
    JsonFile.write(file, root);
  }
}
