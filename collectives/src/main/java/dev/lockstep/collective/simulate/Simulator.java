package dev.lockstep.collective.simulate;

import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.collective.simulate.RankProgram.Op;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// Times schedules on fabrics: the same objects that are verified and executed. Stateless.
///
/// The model: issuing a step takes a rank a fixed time; copies and joins take time by their bytes;
/// a message takes its link's latency and, at the sender and at the receiver, its bytes over the
/// link's bandwidth; a rank's link carries one message at a time in each direction. Ranks whose
/// messages leave their group by one uplink share it evenly for the whole schedule; a rank that
/// moves messages itself does something else while a slower uplink carries them. Buffers are
/// unbounded.
public final class Simulator {
  /// What a rank has sent is a long below this and after a message more, of less than 4 EiB.
  private static final long MOST_SENT = (1L << 62) - 1;

  private Simulator() {}

  /// Simulates one rank of each kind where the schedule declares ranks alike and they are so on
  /// this fabric, else every rank. Folded or not, the times are exactly the same.
  ///
  /// Cost: memory and time in proportion to the steps that are simulated, about 100 bytes and a
  /// microsecond each, and a look at every rank.
  ///
  /// @throws IllegalArgumentException if there are too many steps
  /// @throws IllegalStateException if the schedule is wrong: it does not end
  public static Simulation run(Schedule schedule, Fabric fabric) {
    return run(schedule, fabric, Cast.MOST_STEPS);
  }

  /// As [#run(Schedule, Fabric)], with a limit of its own.
  ///
  /// @param mostSteps more are refused
  public static Simulation run(Schedule schedule, Fabric fabric, long mostSteps) {
    Durations durations = new Durations(fabric, schedule.request());
    Optional<Cast> folded = Cast.folded(schedule, fabric, durations, mostSteps);
    return run(
        folded.orElseGet(() -> Cast.unfolded(schedule, fabric, durations, mostSteps)),
        fabric,
        durations);
  }

  /// Returns why a schedule cannot be simulated, as far as the steps of a few ranks tell.
  public static Optional<String> refusal(Schedule schedule, Fabric fabric) {
    return Cast.refusal(
        schedule, fabric, new Durations(fabric, schedule.request()), Cast.MOST_STEPS);
  }

  /// Simulates every rank.
  ///
  /// @throws IllegalArgumentException if there are too many steps
  /// @throws IllegalStateException if the schedule is wrong: it does not end
  public static Simulation runUnfolded(Schedule schedule, Fabric fabric) {
    Durations durations = new Durations(fabric, schedule.request());
    return run(Cast.unfolded(schedule, fabric, durations, Cast.MOST_STEPS), fabric, durations);
  }

  private static Simulation run(Cast cast, Fabric fabric, Durations durations) {
    Run run = new Run(cast, durations, fabric.levels().size());
    run.run();
    return new Simulation(cast, run, traffic(cast, fabric));
  }

  private static List<Simulation.Traffic> traffic(Cast cast, Fabric fabric) {
    long[] messages = new long[fabric.levels().size()];
    BigInteger[] bytes = new BigInteger[messages.length];
    Arrays.fill(bytes, BigInteger.ZERO);
    for (int i = 0; i < cast.programs.size(); i++) {
      RankProgram program = cast.programs.get(i);
      long members = cast.members.get(i);
      long[] sent = new long[messages.length];
      for (int step = 0; step < program.steps(); step++) {
        if (program.op(step) == Op.SEND) {
          int level = program.levels[step];
          messages[level] += members;
          sent[level] += program.bytes[step];
          if (sent[level] > MOST_SENT) {
            bytes[level] = bytes[level].add(product(members, sent[level]));
            sent[level] = 0;
          }
        }
      }
      for (int level = 0; level < sent.length; level++) {
        bytes[level] = bytes[level].add(product(members, sent[level]));
      }
    }
    List<Simulation.Traffic> traffic = new ArrayList<>();
    for (int level = 0; level < messages.length; level++) {
      traffic.add(
          new Simulation.Traffic(fabric.levels().get(level).name(), messages[level], bytes[level]));
    }
    return traffic;
  }

  private static BigInteger product(long members, long bytes) {
    return BigInteger.valueOf(members).multiply(BigInteger.valueOf(bytes));
  }
}
