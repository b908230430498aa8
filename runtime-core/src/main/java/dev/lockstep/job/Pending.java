package dev.lockstep.job;

import java.util.concurrent.CompletableFuture;

/// Somebody who waits in the store for a key or for a barrier.
final class Pending extends CompletableFuture<byte[]> {
  private final String name;
  private final int rank;

  Pending(String name, int rank) {
    this.name = name;
    this.rank = rank;
  }

  String name() {
    return name;
  }

  int rank() {
    return rank;
  }
}
