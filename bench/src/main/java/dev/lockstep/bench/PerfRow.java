package dev.lockstep.bench;

import dev.lockstep.bench.step.Median;
import dev.lockstep.collective.PreparedCollective;
import dev.lockstep.collective.request.EvenCollective;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// The measurements of one size.
///
/// @param collective of what
/// @param bytes size
/// @param count elements
/// @param outOfPlace result in a buffer of its own; null where the algorithm has no such form
/// @param inPlace result in the input's buffer; null likewise
record PerfRow(
    EvenCollective collective,
    long bytes,
    long count,
    @Nullable Timing outOfPlace,
    @Nullable Timing inPlace) {
  private static final String NONE = "N/A";

  /// One measurement.
  ///
  /// @param micros time per operation
  /// @param algBandwidth size over time, GB/s
  /// @param busBandwidth what a link carries, GB/s
  /// @param wrong elements that were wrong on any rank, or -1 if unchecked
  /// @param spread how single operations were distributed
  /// @param by what ran
  record Timing(
      double micros, double algBandwidth, double busBandwidth, long wrong, Spread spread, By by) {
    private static final String COLUMNS = "  %7s  %6s  %6s  %6s";

    static Timing of(long bytes, double nanos, double busFactor, long wrong, Spread spread, By by) {
      double algBandwidth = nanos > 0 ? bytes / nanos : 0;
      return new Timing(nanos / 1000, algBandwidth, algBandwidth * busFactor, wrong, spread, by);
    }

    private static String words(@Nullable Timing timing) {
      return timing == null ? NONE : timing.by.words() + ": " + timing.spread.words();
    }

    private static String columns(@Nullable Timing timing) {
      return timing == null ? COLUMNS.formatted(NONE, NONE, NONE, NONE) : timing.columns();
    }

    private String columns() {
      return COLUMNS.formatted(
          number(micros, 7),
          number(algBandwidth, 6),
          number(busBandwidth, 6),
          wrong < 0 ? NONE : Long.toString(wrong));
    }

    /// As many decimals, at most two, as a column has room for, as nccl-tests prints them.
    private static String number(double value, int width) {
      for (int decimals = 2; decimals >= 0; decimals--) {
        String text = String.format(Locale.ROOT, "%." + decimals + "f", value);
        if (text.length() <= width) {
          return text;
        }
      }
      return String.format(Locale.ROOT, width >= 7 ? "%.1e" : "%.0e", value);
    }
  }

  /// What ran an operation.
  ///
  /// @param algorithm name
  /// @param predictedMicros how long it should have taken; empty if nobody knows
  record By(String algorithm, OptionalDouble predictedMicros) {
    static By of(PreparedCollective operation) {
      OptionalDouble nanos = operation.predictedNanos();
      return new By(
          operation.schedule().algorithm(),
          nanos.isPresent()
              ? OptionalDouble.of(nanos.getAsDouble() / 1000)
              : OptionalDouble.empty());
    }

    String words() {
      return predictedMicros.isPresent()
          ? String.format(
              Locale.ROOT, "%s, predicted %.2f us", algorithm, predictedMicros.getAsDouble())
          : algorithm;
    }
  }

  /// How ranks begin what is timed.
  enum Start {
    /// All at a time that they have agreed on.
    COMMON,
    /// Each as it leaves a barrier: they have not a core each, or were late again and again.
    BARRIER,
    /// Each rank as it has ended the operation before.
    IN_A_ROW;

    String label() {
      return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
  }

  /// Single operations, in microseconds: the slowest rank's time of each.
  ///
  /// @param min the fastest
  /// @param median the middle, or the mean of the two in the middle
  /// @param p99 the value that 99 of 100 do not exceed
  /// @param max the slowest
  /// @param repeated how many were timed again, since a rank had begun them late
  /// @param start how all of them began
  record Spread(double min, double median, double p99, double max, long repeated, Start start) {
    /// @param sorted nanoseconds, ascending
    static Spread of(double[] sorted, long repeated, Start start) {
      int last = sorted.length - 1;
      int p99 = Math.max(0, (int) Math.ceil(sorted.length * 0.99) - 1);
      return new Spread(
          sorted[0] / 1000,
          Median.of(sorted) / 1000,
          sorted[p99] / 1000,
          sorted[last] / 1000,
          repeated,
          start);
    }

    String words() {
      return String.format(
              Locale.ROOT,
              "min %.2f median %.2f p99 %.2f max %.2f us, start %s",
              min,
              median,
              p99,
              max,
              start.label())
          + (repeated > 0 ? ", begun late and repeated " + repeated : "");
    }
  }

  /// Returns what was measured: both forms, or the one that the algorithm has.
  List<Timing> timings() {
    return Stream.of(outOfPlace, inPlace).filter(Objects::nonNull).toList();
  }

  /// What `--verbose` says of a row.
  String details() {
    return String.format(
        Locale.ROOT,
        "#   size %d: out-of-place %s; in-place %s",
        bytes,
        Timing.words(outOfPlace),
        Timing.words(inPlace));
  }

  /// The row in nccl-tests' columns.
  String columns() {
    return String.format(
            Locale.ROOT,
            "%12d  %12d  %8s  %6s  %6d",
            bytes,
            count,
            NcclTests.type(collective.dtype()),
            NcclTests.op(collective),
            NcclTests.root(collective))
        + Timing.columns(outOfPlace)
        + Timing.columns(inPlace);
  }
}
