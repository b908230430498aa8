package dev.lockstep.job;

import java.time.Duration;

/// How a [StoreServer] runs.
///
/// @param bindAddress address that it listens at; loopback unless the job spans nodes
/// @param port port, or 0 for any
/// @param worldSize number of ranks
/// @param liveness how long a silent rank counts as alive; all ranks take this value
/// @param jobName what the launcher calls the job: ranks of another name are refused; empty for the
///   name of the first rank that comes
/// @param hostRank the rank whose process this is, or -1 for an agent
/// @param maxValueBytes size of the largest value
/// @param maxStoreBytes size of all values together
/// @param handshakeTimeout how long a connection may take until its rank has joined
/// @param maxStrangers connections that may be open at once before their ranks have joined; one
///   more closes the oldest
public record StoreOptions(
    String bindAddress,
    int port,
    int worldSize,
    Duration liveness,
    String jobName,
    int hostRank,
    int maxValueBytes,
    long maxStoreBytes,
    Duration handshakeTimeout,
    int maxStrangers) {
  private static final int FEWEST_STRANGERS = 64;

  /// Checks the values.
  public StoreOptions {
    if (worldSize < 1 || hostRank < -1 || hostRank >= worldSize) {
      throw new IllegalArgumentException(
          "ranks of the store are wrong: worldSize=%d, hostRank=%d".formatted(worldSize, hostRank));
    }
    if (maxValueBytes < 1 || maxStrangers < 1) {
      throw new IllegalArgumentException(
          "limits of the store are wrong: maxValueBytes=%d, maxStrangers=%d"
              .formatted(maxValueBytes, maxStrangers));
    }
  }

  /// Returns options for an agent's store, with the usual limits: values of 16 MiB, 1 GiB in all,
  /// five seconds to join, as many strangers as all ranks twice and 64 at least: they come at once.
  public static StoreOptions of(String bindAddress, int port, int worldSize, Duration liveness) {
    return new StoreOptions(
        bindAddress,
        port,
        worldSize,
        liveness,
        "",
        -1,
        16 << 20,
        1L << 30,
        Duration.ofSeconds(5),
        Math.clamp(2L * worldSize, FEWEST_STRANGERS, Integer.MAX_VALUE));
  }

  /// Returns options for the store of an agent whose job spans nodes, with the usual limits. It
  /// listens at the address that `host` names if that is one of this node's own, and at all of them
  /// where it is not, or where this node takes its own name for loopback: other nodes do not.
  ///
  /// @param host by which the other nodes reach this one
  public static StoreOptions forOtherNodes(
      String host, int port, int worldSize, Duration liveness) {
    return of(NodeAddress.toListenAt(host), port, worldSize, liveness);
  }

  /// Returns these options with the launcher's name of the job.
  public StoreOptions withJobName(String name) {
    return new StoreOptions(
        bindAddress,
        port,
        worldSize,
        liveness,
        name,
        hostRank,
        maxValueBytes,
        maxStoreBytes,
        handshakeTimeout,
        maxStrangers);
  }

  /// Returns these options for a store in the process of a rank.
  public StoreOptions withHostRank(int rank) {
    return new StoreOptions(
        bindAddress,
        port,
        worldSize,
        liveness,
        jobName,
        rank,
        maxValueBytes,
        maxStoreBytes,
        handshakeTimeout,
        maxStrangers);
  }

  /// Returns these options with other limits on what is stored.
  public StoreOptions withStorage(int largestValueBytes, long allBytes) {
    return new StoreOptions(
        bindAddress,
        port,
        worldSize,
        liveness,
        jobName,
        hostRank,
        largestValueBytes,
        allBytes,
        handshakeTimeout,
        maxStrangers);
  }

  /// Returns these options with other limits on connections whose ranks have not joined.
  public StoreOptions withStrangers(Duration timeout, int connections) {
    return new StoreOptions(
        bindAddress,
        port,
        worldSize,
        liveness,
        jobName,
        hostRank,
        maxValueBytes,
        maxStoreBytes,
        timeout,
        connections);
  }
}
