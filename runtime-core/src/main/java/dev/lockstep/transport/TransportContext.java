package dev.lockstep.transport;

import dev.lockstep.memory.MemoryPool;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/// What a transport is told about its job.
///
/// @param jobId the same on all ranks; part of every envelope
/// @param rank this rank
/// @param hosts for each rank the name of its host; ranks with equal names share memory
/// @param bindAddress address that other nodes reach this one by; loopback unless the job spans
///   nodes
/// @param directory the job's private folder on this host (mode 0700, on tmpfs where there is one);
///   shared by the job's ranks of this host and gone after the job
/// @param localLeader whether this rank starts what a host needs once (a media driver)
/// @param addresses where ranks publish and look up addresses
/// @param memory pool that buffers are charged to
/// @param liveness how long a silent peer counts as alive
public record TransportContext(
    long jobId,
    int rank,
    List<String> hosts,
    String bindAddress,
    Path directory,
    boolean localLeader,
    AddressBook addresses,
    MemoryPool memory,
    Duration liveness) {
  /// Copies the list and checks the rank.
  public TransportContext {
    hosts = List.copyOf(hosts);
    if (rank < 0 || rank >= hosts.size()) {
      throw new IllegalArgumentException(
          "rank lies outside the job: rank=" + rank + ", worldSize=" + hosts.size());
    }
  }

  /// Returns the number of ranks.
  public int worldSize() {
    return hosts.size();
  }

  /// Returns whether every rank runs on this rank's host.
  public boolean isOneHost() {
    return hosts.stream().allMatch(hosts.get(rank)::equals);
  }
}
