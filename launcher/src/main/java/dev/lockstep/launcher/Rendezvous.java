package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;

/// How a node finds its job.
///
/// @param nodeRank this node, from 0
/// @param host address of node 0, where the job's store listens; on one node it listens at loopback
/// @param port port of the store, or 0 for any; must be given if there are several nodes
/// @param runId what the job is called, or empty for a name that is made up
public record Rendezvous(int nodeRank, String host, int port, String runId) {
  static final String LOOPBACK = "127.0.0.1";

  private static final int MAX_PORT = 65535;

  /// Checks the port.
  public Rendezvous {
    if (port < 0 || port > MAX_PORT) {
      throw new ConfigurationException(
          "--rdzv-endpoint",
          host + ":" + port,
          "port lies outside 1 to %d: --rdzv-endpoint=%s:%d".formatted(MAX_PORT, host, port));
    }
  }

  /// Returns that of a job on this machine alone.
  static Rendezvous local() {
    return new Rendezvous(0, LOOPBACK, 0, "");
  }
}
