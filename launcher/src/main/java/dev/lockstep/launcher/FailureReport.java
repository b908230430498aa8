package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.Printable;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.HostName;
import dev.lockstep.launcher.process.RankExit;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/// What made a job fail, as the user sees it once.
///
/// @param record the first failure
/// @param exit how the process of that rank ended, or null if it ran on another node or had to be
///   ended
record FailureReport(FailureRecord record, @Nullable RankExit exit) {
  private static final int FAILED = 1;
  private static final int WRONG_INPUT = 2;
  private static final int KILLED = 137;

  /// Finds the first failure: what the store recorded, else the earliest error file, else the first
  /// process that ended badly.
  ///
  /// @param exits how the processes of this node ended, the first to end first
  /// @param recorded what the store knows
  /// @param errorFile the first failure by what a rank left in its error file
  /// @return empty if nothing failed
  static Optional<FailureReport> of(
      List<RankExit> exits,
      Optional<FailureRecord> recorded,
      IntFunction<Optional<FailureRecord>> errorFile) {
    List<RankExit> bad = exits.stream().filter(RankExit::failed).toList();
    return recorded
        .or(() -> earliest(bad, errorFile))
        .or(() -> bad.stream().findFirst().map(FailureReport::ofExit))
        .map(
            record ->
                new FailureReport(
                    record,
                    bad.stream()
                        .filter(exit -> exit.rank() == record.rank())
                        .findFirst()
                        .orElse(null)));
  }

  private static Optional<FailureRecord> earliest(
      List<RankExit> bad, IntFunction<Optional<FailureRecord>> errorFile) {
    return bad.stream()
        .map(exit -> errorFile.apply(exit.rank()))
        .flatMap(Optional::stream)
        .min(Comparator.comparingLong(FailureRecord::epochMillis));
  }

  /// Returns the record of a process that ended without a word.
  private static FailureRecord ofExit(RankExit exit) {
    return FailureRecord.ofExit(exit.rank(), HostName.local(), "process ended: " + exit.describe());
  }

  /// Returns whether it only says that a rank ended that was told to stop: then it has not failed.
  /// One that threw while it saved has, and so has one that ended by itself before.
  ///
  /// @param stopMillis when ranks were told to stop, since the epoch; [Long#MAX_VALUE] if never
  boolean isOfStop(long stopMillis) {
    boolean endedBefore = exit != null && !exit.asked() && !exit.isByStop();
    return record.stack().isEmpty() && record.epochMillis() >= stopMillis && !endedBefore;
  }

  private boolean isWrongInput() {
    return record.kind().equals(ConfigurationException.class.getSimpleName());
  }

  /// Returns what the command ends with.
  int exitCode() {
    if (isWrongInput()) {
      return WRONG_INPUT;
    }
    return exit == null ? FAILED : exit.code();
  }

  /// Returns what is shown: for the user's own mistakes one sentence; otherwise who failed, where,
  /// doing what, and the Java stack. Control characters but those of lines are spelled out.
  ///
  /// @param worldSize number of ranks, or 0 if it is not known
  String text(int worldSize) {
    if (isWrongInput()) {
      return Printable.lines("lockstep: " + record.message());
    }
    StringBuilder text = new StringBuilder("lockstep: ");
    text.append(record.rank() < 0 ? "the launcher" : "rank " + record.rank());
    text.append(record.rank() < 0 || worldSize == 0 ? "" : " of " + worldSize);
    text.append(" failed: ").append(cause());
    appendPlace(text);
    if (record.stack().contains("\n\tat ")) {
      text.append('\n').append(record.stack().stripTrailing());
    }
    return Printable.lines(text.toString());
  }

  private String cause() {
    boolean silent = record.stack().isEmpty();
    if (exit == null || !silent) {
      return silent ? record.message() : record.kind() + ": " + record.message();
    }
    String hint =
        exit.code() == KILLED ? " (killed from outside, or by the kernel for want of memory)" : "";
    return "process ended: " + exit.describe() + hint;
  }

  private void appendPlace(StringBuilder text) {
    List<String> place =
        List.of(
            record.host().isEmpty() ? "" : "host=" + record.host(),
            record.activity().isEmpty() ? "" : "activity=" + record.activity());
    String joined = String.join(", ", place.stream().filter(part -> !part.isEmpty()).toList());
    if (!joined.isEmpty()) {
      text.append(" [").append(joined).append(']');
    }
  }

  FailureReport {
    Objects.requireNonNull(record);
  }
}
