package dev.lockstep.device.neuron;

import dev.lockstep.device.neuron.hlo.HloExecutable;
import dev.lockstep.device.neuron.hlo.HloExecutable.Meeting;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/// What joins the cores of stand-ins whose ranks have the same root: ranks of a group meet in their
/// collectives one after another.
final class StandInNetwork {
  private static final Map<String, StandInNetwork> ALL = new ConcurrentHashMap<>();

  private final Map<List<Long>, Round> rounds = new HashMap<>();

  /// A peer did not come in time.
  static final class MissingPeer extends RuntimeException {
    private static final long serialVersionUID = 1L;
  }

  /// The collective that a group is in.
  private static final class Round {
    private final @Nullable Meeting[] met;
    private int arrived;

    Round(int ranks) {
      met = new Meeting[ranks];
    }

    List<Meeting> all() {
      List<Meeting> all = new ArrayList<>();
      for (Meeting each : met) {
        if (each != null) {
          all.add(each);
        }
      }
      return all;
    }
  }

  /// The network of a root.
  static StandInNetwork at(String root) {
    return ALL.computeIfAbsent(root, _ -> new StandInNetwork());
  }

  /// The network as a rank sees it.
  ///
  /// @param seconds how long a rank waits for its peers
  HloExecutable.Peers of(int rank, long seconds) {
    return own -> meet(rank, own, TimeUnit.SECONDS.toNanos(seconds));
  }

  private synchronized double[] meet(int rank, Meeting own, long nanos) {
    List<Long> group = own.group(rank);
    int place = group.indexOf((long) rank);
    Round round = rounds.computeIfAbsent(group, _ -> new Round(group.size()));
    round.met[place] = own;
    if (++round.arrived == group.size()) {
      rounds.remove(group);
      notifyAll();
    }
    long deadline = System.nanoTime() + nanos;
    while (round.arrived < group.size()) {
      long left = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
      if (left <= 0) {
        throw new MissingPeer();
      }
      try {
        wait(left);
      } catch (InterruptedException e) {
        throw new MissingPeer();
      }
    }
    return own.result(round.all(), rank);
  }
}
