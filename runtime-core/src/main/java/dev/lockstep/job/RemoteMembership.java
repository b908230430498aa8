package dev.lockstep.job;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/// A rank whose job's store is reached over the network.
final class RemoteMembership implements Membership {
  private static final Duration TELLING = Duration.ofMillis(500);
  private static final Duration FAREWELL = Duration.ofMillis(500);

  private final RankConnection connection;
  private final ControlThread thread;
  private final FailureCell failures;
  private final Store store;
  private final Message.Welcome welcome;
  private final String bindAddress;
  private final @Nullable HostedStore hosted;
  private final AtomicBoolean left = new AtomicBoolean();

  /// @param hosted the store, if this rank hosts it
  RemoteMembership(
      Joining.Seated seated, Store store, String bindAddress, @Nullable HostedStore hosted) {
    this.connection = seated.connection();
    this.thread = seated.thread();
    this.failures = seated.failures();
    this.welcome = seated.welcome();
    this.store = store;
    this.bindAddress = bindAddress;
    this.hosted = hosted;
  }

  @Override
  public long jobId() {
    return welcome.jobId();
  }

  @Override
  public Duration liveness() {
    return Duration.ofNanos(welcome.livenessNanos());
  }

  @Override
  public String bindAddress() {
    return bindAddress;
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
    if (failures.first().isPresent()) {
      return;
    }
    connection.send(new Message.Report(failure));
    if (!failures.await(TELLING)) {
      failures.record(failure);
    }
  }

  @Override
  public void activity(String what) {
    connection.activity(what);
  }

  @Override
  public void leave() {
    if (!left.compareAndSet(false, true)) {
      return;
    }
    connection.leave(FAREWELL);
    thread.close();
    if (hosted != null) {
      hosted.close(failures.first().isPresent());
    }
  }
}
