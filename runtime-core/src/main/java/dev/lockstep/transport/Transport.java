package dev.lockstep.transport;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/// One rank's end of a transport. Links and peer access are confined to the thread that drives
/// them; the rest is thread-safe.
public interface Transport extends AutoCloseable {
  /// Returns the provider's name.
  String name();

  /// Opens the sending end of the FIFO link from this rank to `peer` for one communicator. The peer
  /// opens the other end.
  ///
  /// @throws dev.lockstep.failure.TransportException if the peer's end does not appear in time
  Link openSend(int peer, int communicator, Duration timeout);

  /// Opens the receiving end of the FIFO link from `peer` to this rank for one communicator.
  Link openReceive(int peer, int communicator, Duration timeout);

  /// Returns in-place access to the memory of some ranks, this one among them, if this transport
  /// shares memory with all of these. The same on each of them.
  ///
  /// @param ranks of the job
  Optional<PeerAccess> peerAccess(List<Integer> ranks);

  /// Moves whatever can be moved without waiting, on all links; allocates nothing.
  ///
  /// @return amount of work done, 0 if there was none
  int poll();

  /// Returns what was sent, received and opened in place so far, for reports and tests.
  TransportCounters counters();

  /// Closes all links and frees everything; idempotent. Transfers in flight fail.
  @Override
  void close();
}
