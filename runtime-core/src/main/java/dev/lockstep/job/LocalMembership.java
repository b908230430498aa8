package dev.lockstep.job;

import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;

/// Ranks that are threads of one JVM: store and failure are objects that they share.
final class LocalMembership implements Membership {
  private static final int MAX_VALUE_BYTES = 16 << 20;

  private final long jobId;
  private final Duration liveness;
  private final FailureCell failures;
  private final Store store;

  private LocalMembership(long jobId, Duration liveness, FailureCell failures, Store store) {
    this.jobId = jobId;
    this.liveness = liveness;
    this.failures = failures;
    this.store = store;
  }

  /// Returns one membership per rank.
  static List<Membership> of(int ranks, Duration liveness) {
    FailureCell failures = new FailureCell();
    StoreTable table = new StoreTable(MAX_VALUE_BYTES, Long.MAX_VALUE);
    failures.onFailure(table::fail);
    ConcurrentMap<String, Object> objects = new ConcurrentHashMap<>();
    long jobId = newJobId();
    List<Membership> members = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      Store store = new LocalStore(table, failures, objects, rank, ranks);
      members.add(new LocalMembership(jobId, liveness, failures, store));
    }
    return members;
  }

  /// Returns a number that no other job has; never 0.
  static long newJobId() {
    return new SecureRandom().nextLong(1, Long.MAX_VALUE);
  }

  @Override
  public long jobId() {
    return jobId;
  }

  @Override
  public Duration liveness() {
    return liveness;
  }

  @Override
  public String bindAddress() {
    return NodeAddress.loopback();
  }

  @Override
  public Store store() {
    return store;
  }

  @Override
  public FailureCell failures() {
    return failures;
  }

  @Override
  public void report(FailureRecord failure) {
    failures.record(failure);
  }

  /// Does nothing: a thread cannot die unseen, so nobody asks.
  @Override
  public void activity(String what) {}

  @Override
  public void leave() {}
}
