package dev.lockstep.collective.simulate;

/// What a rank itself takes for the steps of a schedule.
///
/// @param startNanos time from the call until the first step is issued, and from the last one back
/// @param stepNanos time to issue any step
/// @param copy rate of a copy within the rank's memory, bytes copied
/// @param join rate of a reduction, bytes touched: `k` sources and one result of `n` bytes count
///   `(k + 1) n`
/// @param movesMessages whether the thread that issues the steps moves messages itself, as on a
///   host; else links work beside it
public record Compute(
    double startNanos, double stepNanos, Rates copy, Rates join, boolean movesMessages) {
  /// Checks the overhead.
  public Compute {
    if (!(startNanos >= 0) || !(stepNanos >= 0)) {
      throw new IllegalArgumentException(
          "overhead is negative: startNanos=%s, stepNanos=%s".formatted(startNanos, stepNanos));
    }
  }

  /// Returns the same rank with other rates.
  public Compute withRates(Rates copy, Rates join) {
    return new Compute(startNanos, stepNanos, copy, join, movesMessages);
  }

  /// Returns the compute of a device whose memory is read and written at one rate.
  public static Compute device(double stepNanos, double memoryBytesPerSecond) {
    return new Compute(
        0,
        stepNanos,
        Rates.constant(memoryBytesPerSecond / 2),
        Rates.constant(memoryBytesPerSecond),
        false);
  }
}
