package dev.lockstep.bench;

import java.util.Locale;

/// The measurements of one size.
///
/// @param bytes size
/// @param count elements
/// @param outOfPlace result in a buffer of its own
/// @param inPlace result in the input's buffer
record PerfRow(long bytes, long count, Timing outOfPlace, Timing inPlace) {
  /// One measurement.
  ///
  /// @param micros time per operation
  /// @param algBandwidth size over time, GB/s
  /// @param busBandwidth what a link carries, GB/s
  /// @param wrong elements that were wrong on any rank, or -1 if unchecked
  record Timing(double micros, double algBandwidth, double busBandwidth, long wrong) {
    static Timing of(long bytes, double nanos, double busFactor, long wrong) {
      double algBandwidth = nanos > 0 ? bytes / nanos : 0;
      return new Timing(nanos / 1000, algBandwidth, algBandwidth * busFactor, wrong);
    }

    private String columns() {
      return "  %7s  %6s  %6s  %6s"
          .formatted(
              number(micros),
              number(algBandwidth),
              number(busBandwidth),
              wrong < 0 ? "N/A" : Long.toString(wrong));
    }

    /// Three significant figures and more, as nccl-tests prints them.
    private static String number(double value) {
      int decimals = value >= 10_000 ? 0 : value >= 100 ? 1 : 2;
      return String.format(Locale.ROOT, "%." + decimals + "f", value);
    }
  }

  /// The row in nccl-tests' columns.
  String columns(PerfPlan plan) {
    return "%12d  %12d  %8s  %6s  %6d"
            .formatted(
                bytes,
                count,
                PerfPlan.typeName(plan.dtype()),
                plan.collective().reduces() ? plan.op().label() : "none",
                plan.collective().reduces() ? -1 : plan.root())
        + outOfPlace.columns()
        + inPlace.columns();
  }
}
