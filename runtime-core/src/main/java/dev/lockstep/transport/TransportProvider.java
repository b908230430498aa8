package dev.lockstep.transport;

import dev.lockstep.failure.Availability;

/// A kind of transport, found by [java.util.ServiceLoader].
public interface TransportProvider {
  /// Returns the name as users write it after `--transport`: `shm`, `in-process`, `aeron-ipc`,
  /// `aeron-udp`, `efa`, `ofi:tcp`.
  String name();

  /// Returns whether it works on this machine, or why not. Never throws.
  Availability probe();

  /// Returns whether it can join these ranks: for example shared memory only ranks of one host.
  Availability reaches(TransportContext context);

  /// Opens the transport of one rank; the caller closes it. Does not wait for peers.
  ///
  /// @throws dev.lockstep.failure.TransportException if it cannot be opened
  Transport open(TransportContext context);
}
