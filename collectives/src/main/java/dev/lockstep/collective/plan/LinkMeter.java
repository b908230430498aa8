package dev.lockstep.collective.plan;

import dev.lockstep.collective.schedule.Schedule;
import java.util.List;

/// Measures on the links of a communicator. All ranks call the same methods in the same order and
/// get the same numbers.
public interface LinkMeter {
  /// Runs schedules until they do not become faster, or for as long as is allowed: what is to be
  /// measured are links, not the start of a virtual machine.
  ///
  /// @param schedules short ones, as for [#nanos]
  void warmUp(List<Schedule> schedules);

  /// Runs schedules so often that compilers have taken their code for good, or for a while: in a
  /// warm-up each is run some hundred times, which is not enough.
  ///
  /// @param schedules short ones, as for [#nanos]
  void exercise(List<Schedule> schedules);

  /// Returns whether the ranks are on one host that has a core for each of them.
  boolean eachHasACore();

  /// Returns whether there is time to measure anything again. On a machine that is busy with
  /// something else nothing settles.
  boolean hasTime();

  /// Returns whether there is time to measure everything once more, and again while it is doubted:
  /// what rests on one moment may be of no use, so more time is spent than [#hasTime] says.
  boolean hasPatience();

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
