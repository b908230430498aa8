package dev.lockstep.collective.plan;

import dev.lockstep.collective.schedule.Schedule;
import java.util.List;

/// Measures on the links of a communicator. All ranks call the same methods in the same order and
/// get the same numbers.
public interface LinkMeter {
  /// Returns how long each schedule takes, every rank having written its input before: the slowest
  /// rank's time, in nanoseconds, where nothing else disturbs the ranks. They are run one after
  /// another, again and again.
  ///
  /// @param schedules of 32-bit floats, with one input and one output per rank at most
  double[] nanos(List<Schedule> schedules);

  /// Returns how long a copy within a rank's memory takes while all ranks copy, in nanoseconds.
  ///
  /// @param bytes how much each copies
  double copyNanos(long bytes);
}
