package dev.lockstep.collective.execute;

import dev.lockstep.job.Job;
import java.util.ArrayList;
import java.util.List;

/// What a rank's collectives have waited in for long, in the order in which they began to.
///
/// The rank's activity is what the last of them waits in, and what it was before the first once
/// none is left. Whatever somebody else has noted meanwhile stays. Thread-safe.
final class LongWaits {
  private final List<String> waits = new ArrayList<>();
  private String before = "";

  /// Notes that a collective waits.
  ///
  /// @param activity what it waits in
  synchronized void begin(Job job, String activity) {
    if (waits.isEmpty()) {
      before = job.activity();
    }
    waits.add(activity);
    job.activity(activity);
  }

  /// Notes that a collective does not wait any more.
  ///
  /// @param activity as it was given when it began to
  synchronized void end(Job job, String activity) {
    boolean isShown = !waits.isEmpty() && job.activity().equals(waits.getLast());
    waits.remove(activity);
    if (isShown) {
      job.activity(waits.isEmpty() ? before : waits.getLast());
    }
  }
}
