package dev.lockstep.launcher;

import dev.lockstep.job.Job;
import java.io.PrintStream;
import java.util.OptionalInt;

/// What a rank's work finds around it. Thread-safe.
public interface RankContext {
  /// Returns the job, joined; closed by the launcher after the work.
  Job job();

  /// Returns whether the user, a scheduler or the end of the launcher asks this rank to stop. A
  /// volatile read: may be polled. The work should then save what it wants to keep and return. It
  /// has the launcher's `--stop-patience` for that (30 s), and about a second if it has not once
  /// asked; then the process ends in any case. So every rank asks, not one for all.
  ///
  /// Ranks may see the request at different moments: work that communicates must agree on where it
  /// stops.
  boolean stopRequested();

  /// Returns where results and progress go; lines of several ranks are told apart by the launcher.
  PrintStream out();

  /// Returns the width of the terminal that [#out] ends at, or empty if it is none: then progress
  /// is plain lines. On a terminal a line may be overwritten after a carriage return.
  OptionalInt terminalColumns();

  /// Returns how many threads this rank should compute with if the user does not say: its share of
  /// the node's cores, at least 1.
  int threads();
}
