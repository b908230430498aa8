package dev.lockstep.bench;

import dev.lockstep.bench.step.Median;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/// What every algorithm takes for one size, beside what was chosen and predicted.
///
/// @param bytes size
/// @param chosen name of the algorithm that was chosen
/// @param measured every algorithm that can do it
/// @param how how all of them were timed
record PerfChoice(long bytes, String chosen, List<Measured> measured, How how) {
  /// Sizes from which predictions count: below, a clock's own time is too much of a time.
  static final long PREDICTED_FROM = 4096;

  /// A choice is good if it takes at most this many times as long as the best.
  static final double GOOD = 1.1;

  /// One algorithm.
  ///
  /// @param by name and predicted time
  /// @param micros median of the calmest rounds, of which each has the median of its times
  record Measured(PerfRow.By by, double micros) {
    /// Returns the prediction's error as a part of the time; empty if there is no prediction.
    OptionalDouble error() {
      OptionalDouble predicted = by.predictedMicros();
      return predicted.isPresent() && micros > 0
          ? OptionalDouble.of(Math.abs(predicted.getAsDouble() - micros) / micros)
          : OptionalDouble.empty();
    }
  }

  /// How algorithms were timed, which is alike for all.
  ///
  /// @param start how ranks began
  /// @param rounds how many there were, of which the calmest count
  record How(PerfRow.Start start, int rounds) {}

  PerfChoice {
    measured = List.copyOf(measured);
  }

  Measured choice() {
    return measured.stream()
        .filter(each -> each.by().algorithm().equals(chosen))
        .findFirst()
        .orElseThrow();
  }

  Measured best() {
    return measured.stream().min(Comparator.comparingDouble(Measured::micros)).orElseThrow();
  }

  /// Returns how many times as long the choice takes as the best one.
  double ratio() {
    return choice().micros() / best().micros();
  }

  static String header() {
    return "#%11s  %-28s %10s %10s %7s  %-28s %10s %6s"
            .formatted("size", "chosen", "time", "predicted", "error", "best", "time", "ratio")
        + "\n#%11s  %-28s %10s %10s %7s  %-28s %10s"
            .formatted("(B)", "", "(us)", "(us)", "(%)", "", "(us)");
  }

  String columns() {
    Measured choice = choice();
    return String.format(
        Locale.ROOT,
        "%12d  %-28s %10s %10s %7s  %-28s %10s %6s",
        bytes,
        chosen,
        number(choice.micros()),
        optional(choice.by().predictedMicros()),
        percent(choice.error()),
        best().by().algorithm(),
        number(best().micros()),
        number(ratio()));
  }

  /// Returns a line for every algorithm.
  String details() {
    StringBuilder lines = new StringBuilder("#   start ");
    lines.append(how.start().label()).append(", rounds ").append(how.rounds());
    for (Measured each : measured) {
      lines
          .append("\n")
          .append(
              "#   %-28s %10s us, predicted %10s, error %s %%"
                  .formatted(
                      each.by().algorithm(),
                      number(each.micros()),
                      optional(each.by().predictedMicros()),
                      percent(each.error())));
    }
    return lines.toString();
  }

  /// Returns how good all choices and predictions were.
  static List<String> summary(List<PerfChoice> rows) {
    long good = rows.stream().filter(row -> row.ratio() <= GOOD).count();
    double worst = rows.stream().mapToDouble(PerfChoice::ratio).max().orElse(1);
    return List.of(
        String.format(
            Locale.ROOT,
            "# Choices within 10 %% of the best : %d of %d, worst ratio %s",
            good,
            rows.size(),
            number(worst)),
        "# Prediction error, chosen : median %s %% from 4 KiB up"
            .formatted(percent(median(rows, true))),
        "# Prediction error, all    : median %s %% from 4 KiB up"
            .formatted(percent(median(rows, false))));
  }

  static OptionalDouble median(List<PerfChoice> rows, boolean onlyChosen) {
    List<Double> errors = new ArrayList<>();
    for (PerfChoice row : rows) {
      if (row.bytes() >= PREDICTED_FROM) {
        (onlyChosen ? List.of(row.choice()) : row.measured())
            .forEach(each -> each.error().ifPresent(errors::add));
      }
    }
    return errors.isEmpty()
        ? OptionalDouble.empty()
        : OptionalDouble.of(Median.of(errors.stream().mapToDouble(Double::doubleValue).toArray()));
  }

  private static String number(double value) {
    return String.format(Locale.ROOT, "%.2f", value);
  }

  private static String optional(OptionalDouble value) {
    return value.isPresent() ? number(value.getAsDouble()) : "-";
  }

  private static String percent(OptionalDouble part) {
    return part.isPresent() ? String.format(Locale.ROOT, "%.1f", 100 * part.getAsDouble()) : "-";
  }
}
