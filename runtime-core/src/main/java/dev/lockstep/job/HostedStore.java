package dev.lockstep.job;

import java.time.Duration;

/// The store of a job whose launcher has no agent of ours: it lives in rank 0.
final class HostedStore {
  // Long enough for the news of a failure to be read, short enough to be cleaned up in time.
  private static final Duration AFTER_FAILURE = Duration.ofMillis(500);

  private final StoreServer server;
  private final Runnable cleanup;
  private final Duration patience;

  /// @param cleanup what to remove before the port is another job's
  /// @param patience how long the store outlives rank 0 where other ranks are still at work
  HostedStore(StoreServer server, Runnable cleanup, Duration patience) {
    this.server = server;
    this.cleanup = cleanup;
    this.patience = patience;
  }

  /// Closes the store once the other ranks have left.
  void close(boolean jobHasFailed) {
    try {
      boolean failed = jobHasFailed || !server.awaitFarewellsOrFailure(patience);
      if (failed) {
        var _ = server.awaitFarewells(AFTER_FAILURE);
      }
    } finally {
      // As long as the port is this job's, what is named by it is too.
      try {
        cleanup.run();
      } finally {
        server.close();
      }
    }
  }
}
