package dev.lockstep.collective.plan;

import dev.lockstep.collective.schedule.Schedule;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/// One row of a cost table.
///
/// @param algorithm name
/// @param links what it was timed on: a transport or a fabric
/// @param schedule what it makes of the request, null if it refuses
/// @param nanos predicted time, empty if it was not timed
/// @param reason why it refuses or was not timed, or as what else it was; empty if it was timed as
///   it is
public record Candidate(
    String algorithm,
    String links,
    @Nullable Schedule schedule,
    OptionalDouble nanos,
    String reason) {

  static Candidate timed(String links, Schedule schedule, double nanos) {
    return new Candidate(schedule.algorithm(), links, schedule, OptionalDouble.of(nanos), "");
  }

  static Candidate timedAs(String links, Schedule schedule, double nanos, String what) {
    return new Candidate(schedule.algorithm(), links, schedule, OptionalDouble.of(nanos), what);
  }

  static Candidate untimed(String links, Schedule schedule, String reason) {
    return new Candidate(schedule.algorithm(), links, schedule, OptionalDouble.empty(), reason);
  }

  static Candidate refused(String algorithm, String links, String reason) {
    return new Candidate(algorithm, links, null, OptionalDouble.empty(), reason);
  }

  /// Returns whether it can do what is asked.
  public boolean isApplicable() {
    return schedule != null;
  }
}
