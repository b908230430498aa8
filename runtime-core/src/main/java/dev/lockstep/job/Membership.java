package dev.lockstep.job;

import java.time.Duration;

/// One rank's tie to the others: the store, and the news of the first failure.
interface Membership {
  long jobId();

  /// The liveness time that the whole job uses.
  Duration liveness();

  /// Address that other nodes reach this rank by; loopback unless the job spans nodes.
  String bindAddress();

  Store store();

  FailureCell failures();

  /// Tells every rank of a failure unless there was an earlier one. On return [#failures] holds the
  /// job's first failure as far as this rank can know it.
  void report(FailureRecord failure);

  /// Notes what this rank is doing, for the record of its death.
  void activity(String what);

  /// Says goodbye and frees everything; idempotent.
  void leave();
}
