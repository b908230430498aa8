package dev.lockstep.train;

import dev.lockstep.job.Job;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;

/// What the ranks that write a checkpoint together say to each other, through the job's store: the
/// first one [#OPEN] when the others may write and [#END] when the checkpoint is in its place, each
/// other one under its number when it has written. Ranks that do not write wait for the end too.
///
/// @param prefix of this checkpoint's keys
/// @param isHeard whether another rank hears it; nothing is said otherwise
record WritersTalk(Job job, String prefix, boolean isHeard) {
  /// Who writes, and on the next line the folder to write to; empty if there is none.
  static final String OPEN = "open";

  /// Why it failed; empty if it did not.
  static final String END = "end";

  // A rank that died is known by the job at once; this only ends a wait for a disk that hangs.
  private static final Duration LONGEST_WAIT = Duration.ofHours(1);

  /// Of a rank that writes alone and of which nobody hears.
  static WritersTalk withNobody(Job job) {
    return new WritersTalk(job, "checkpoint/", false);
  }

  /// Says something once.
  void say(String key, String words) {
    if (isHeard) {
      job.store().set(prefix + key, words.getBytes(StandardCharsets.UTF_8));
    }
  }

  /// Says something after a failure, which may be that of the job: then nobody hears it.
  void sayLast(String key, String words, Throwable failure) {
    try {
      say(key, words);
    } catch (RuntimeException unheard) {
      failure.addSuppressed(unheard);
    }
  }

  /// Waits for what another rank says.
  String hear(String key) {
    return new String(job.store().get(prefix + key, LONGEST_WAIT), StandardCharsets.UTF_8);
  }

  /// Removes what was said, when all have done with it.
  void forget(List<Integer> writers) {
    job.store().delete(prefix + OPEN);
    job.store().delete(prefix + END);
    writers.forEach(rank -> job.store().delete(prefix + rank));
  }
}
