package dev.lockstep.job;

import java.util.List;

/// What a rank and the job's store say to each other.
///
/// Note *handshake*: the rank greets with a nonce ([Hello]), the store answers with one of its own
/// ([Challenge]), the rank proves that it knows the token ([Proof]), then the store does
/// ([Accepted]). Both proofs are keyed by the token and cover both nonces and the prover's role, so
/// neither can be replayed or reflected, and the token never crosses the wire. Only then is the
/// rank heard ([Join]); anything else before closes the connection.
sealed interface Message {
  /// First word of a rank.
  record Hello(int version, Bytes nonce) implements Message {}

  /// The store's answer to [Hello].
  record Challenge(int version, Bytes nonce) implements Message {}

  /// The rank knows the token.
  record Proof(Bytes mac) implements Message {}

  /// The store knows the token too.
  record Accepted(Bytes mac) implements Message {}

  /// The store does not take this rank; the rank's [dev.lockstep.failure.ConfigurationException] is
  /// made of it.
  record Refused(String key, String value, String reason) implements Message {}

  /// A rank takes its seat.
  ///
  /// @param jobName what the launcher calls the job, or empty
  record Join(int rank, int worldSize, String jobName, Seat seat) implements Message {}

  /// The seat is taken.
  ///
  /// @param hostRank the rank whose process hosts the store, or -1 for an agent
  record Welcome(long jobId, long livenessNanos, int hostRank, int maxValueBytes)
      implements Message {}

  /// All seats are taken; by rank.
  record Roster(List<Seat> seats) implements Message {}

  /// Sets a key; answered by [Done].
  record Put(long id, String key, Bytes value) implements Message {}

  /// Asks for a key; answered by [Value] or [Absent].
  record Peek(long id, String key) implements Message {}

  /// Waits for a key; answered by [Value].
  record Get(long id, String key) implements Message {}

  /// Adds to a counter; answered by [Sum].
  record Add(long id, String key, long delta) implements Message {}

  /// Comes to a barrier; answered by [Done].
  record Meet(long id, String name, int count) implements Message {}

  /// Removes a key; answered by [Done].
  record Delete(long id, String key) implements Message {}

  /// Gives up the wait `id`, or the wait for the roster if 0; answered by [Withdrawn].
  record Withdraw(long id) implements Message {}

  /// The ranks that had come to what was given up.
  record Withdrawn(long id, List<Integer> arrived) implements Message {}

  /// A key's value.
  record Value(long id, Bytes value) implements Message {}

  /// The key is not set.
  record Absent(long id) implements Message {}

  /// A counter's new value.
  record Sum(long id, long value) implements Message {}

  /// The request has been carried out.
  record Done(long id) implements Message {}

  /// The request cannot be carried out, whoever asks.
  record Denied(long id, String reason) implements Message {}

  /// A rank has failed.
  record Report(FailureRecord failure) implements Message {}

  /// The job has failed: this is its first failure.
  record Failed(FailureRecord failure) implements Message {}

  /// Still here, and what this rank is doing.
  record Beat(String activity) implements Message {}

  /// The rank leaves; answered by [Farewell].
  record Goodbye() implements Message {}

  /// The rank may close its connection.
  record Farewell() implements Message {}

  /// The store closes although ranks are still there; the job has not failed. Before a [Refused]:
  /// it closes soon, and where it is another may answer then.
  record Closing() implements Message {}

  /// Where a rank runs.
  ///
  /// @param kernel tells apart hosts of one name
  /// @param nodeRank as the launcher says, or -1
  record Seat(String host, String kernel, int nodeRank) {}
}
