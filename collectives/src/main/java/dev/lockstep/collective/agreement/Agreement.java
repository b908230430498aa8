package dev.lockstep.collective.agreement;

import dev.lockstep.collective.execute.Deadlines;
import dev.lockstep.collective.execute.Members;
import dev.lockstep.collective.execute.StoreKeys;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobFailedException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/// What the ranks of a communicator tell each other through the job's store: each rank one value,
/// every rank gets all. A value stays until all have come to the next exchange, and so have read
/// it. Confined to the thread that makes the communicator's calls.
public final class Agreement {
  private final Job job;
  private final Members members;
  private final StoreKeys keys;

  /// What this rank has said since all came to the last exchange.
  private final List<String> said = new ArrayList<>();

  /// Begins what a communicator's ranks tell each other.
  ///
  /// @param communicator its number
  public Agreement(Job job, Members members, int communicator) {
    this.job = job;
    this.members = members;
    this.keys = new StoreKeys(communicator);
  }

  /// Returns every rank's text, by its number in the communicator; waits for all.
  public List<String> exchange(String what, String mine, Duration timeout) {
    return exchange(what, mine.getBytes(StandardCharsets.UTF_8), timeout).stream()
        .map(value -> new String(value, StandardCharsets.UTF_8))
        .toList();
  }

  /// Returns every rank's value, by its number in the communicator; waits for all.
  ///
  /// @throws CollectiveTimeoutException if ranks are missing; it names them
  public List<byte[]> exchange(String what, byte[] mine, Duration timeout) {
    long start = System.nanoTime();
    String key = keys.of(what, job.rank());
    job.store().set(key, mine);
    List<byte[]> values = new ArrayList<>();
    for (int rank : members.jobRanks()) {
      values.add(
          rank == job.rank()
              ? mine
              : get(what, rank, Deadlines.left(timeout, start), timeout, start));
    }
    said.forEach(job.store()::withdraw);
    said.clear();
    said.add(key);
    return values;
  }

  /// Waits a moment until every rank has all values of an exchange and sees for itself what is
  /// wrong with them.
  public void letOthersSee(String what) {
    job.store().meet(keys.all("seen/" + what), members.size());
  }

  /// Says that this rank comes to nothing else, and waits for all to say so; may be repeated until
  /// they have. Whoever is the last to know that all have come leaves nothing of them in the store.
  ///
  /// @return whether all ranks have come in time
  public boolean leave(Duration patience) {
    long start = System.nanoTime();
    job.store().set(keys.of("close", job.rank()), new byte[0]);
    for (int rank : members.jobRanks()) {
      Duration left = patience.minusNanos(System.nanoTime() - start);
      if (rank != job.rank() && !hasCome("close", rank, left)) {
        return false;
      }
    }
    said.forEach(job.store()::withdraw);
    said.clear();
    if (job.store().add(keys.all("left"), 1) == members.size()) {
      for (int rank : members.jobRanks()) {
        job.store().withdraw(keys.of("close", rank));
        keys.ofRank(rank).forEach(job.store()::withdraw);
      }
      job.store().withdraw(keys.all("left"));
    }
    return true;
  }

  private boolean hasCome(String what, int rank, Duration patience) {
    if (!patience.isPositive()) {
      return job.store().peek(keys.of(what, rank)).isPresent();
    }
    try {
      var _ = job.store().get(keys.of(what, rank), patience);
      return true;
    } catch (CollectiveTimeoutException late) {
      return false;
    }
  }

  /// Returns the first rank's text; waits for it.
  ///
  /// @param mine the first rank's; what others say does not count
  /// @throws CollectiveTimeoutException if the first rank is missing
  public String first(String what, String mine, Duration timeout) {
    int first = members.jobRanks().getFirst();
    if (first == job.rank()) {
      job.store().set(keys.of(what, first), mine.getBytes(StandardCharsets.UTF_8));
      said.add(keys.of(what, first));
      return mine;
    }
    byte[] theirs = get(what, first, timeout, timeout, System.nanoTime());
    return new String(theirs, StandardCharsets.UTF_8);
  }

  private byte[] get(String what, int rank, Duration left, Duration timeout, long start) {
    try {
      return job.store().get(keys.of(what, rank), left);
    } catch (JobFailedException failed) {
      throw failed;
    } catch (LockstepException absent) {
      throw timedOut(what, timeout, System.nanoTime() - start, absent);
    }
  }

  private CollectiveTimeoutException timedOut(
      String what, Duration timeout, long elapsed, LockstepException cause) {
    List<Integer> missing = new ArrayList<>();
    for (int rank : members.jobRanks()) {
      if (rank != job.rank() && job.store().peek(keys.of(what, rank)).isEmpty()) {
        missing.add(rank);
      }
    }
    return new CollectiveTimeoutException(
        what,
        job.rank(),
        0,
        elapsed,
        timeout.toNanos(),
        missing,
        "ranks did not come to prepare together: what=%s, rank=%d, waitedMillis=%d, missingRanks=%s (call the same in the same order on every rank)"
            .formatted(what, job.rank(), TimeUnit.NANOSECONDS.toMillis(elapsed), missing),
        cause);
  }
}
