package dev.lockstep.collective.execute;

import dev.lockstep.interrupt.Pause;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.Job;
import dev.lockstep.memory.Region;
import dev.lockstep.memory.Scope;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// Memory that peers may still touch after a failure, kept until they have said that they do not.
/// Confined to whoever moves the communicator, and then to who closes it.
final class Quarantine {
  private static final Logger LOG = LoggerFactory.getLogger(Quarantine.class);

  /// How long a closing rank waits for peers to have left its memory.
  private static final long FAREWELL_NANOS = TimeUnit.MILLISECONDS.toNanos(200);

  private final Job job;
  private final Endpoint endpoint;
  private final List<Region> kept = new ArrayList<>();

  Quarantine(Job job, Endpoint endpoint) {
    this.job = job;
    this.endpoint = endpoint;
  }

  /// Keeps what peers can reach.
  void keep(Region[] readable) {
    if (endpoint.access().isEmpty()) {
      return;
    }
    for (Region region : readable) {
      try {
        region.quarantine();
        kept.add(region);
      } catch (IllegalStateException closed) {
        LOG.warn("memory of a collective was closed under it: {}", closed.getMessage());
      }
    }
  }

  /// Waits a little for the peers, and gives the memory back if all have left it.
  void end() {
    if (kept.isEmpty()) {
      return;
    }
    long start = System.nanoTime();
    try (Pause pause = new Pause()) {
      while (!everybodyLeft() && System.nanoTime() - start < FAREWELL_NANOS) {
        pause.park(1_000_000);
      }
    }
    if (everybodyLeft()) {
      try (Scope regions = new Scope()) {
        kept.forEach(region -> regions.own(region, Region::liftQuarantine));
      }
    } else {
      LOG.warn(
          "peers did not say that they have left this rank's memory: rank={}, kept={}",
          endpoint.jobRank(),
          kept.stream().map(Region::name).toList());
    }
    kept.clear();
  }

  private boolean everybodyLeft() {
    int dead =
        job.failure().filter(FailureRecord::isProcessExit).map(FailureRecord::rank).orElse(-1);
    for (int peer = 0; peer < endpoint.ranks(); peer++) {
      if (peer != endpoint.rank()
          && endpoint.members().jobRank(peer) != dead
          && !endpoint.hasAcknowledged(peer)) {
        return false;
      }
    }
    return true;
  }
}
