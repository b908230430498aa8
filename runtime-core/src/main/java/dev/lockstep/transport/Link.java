package dev.lockstep.transport;

/// One end of a FIFO, reliable, one-direction channel between two ranks for one communicator:
/// transfers are posted and polled, and complete in the order of posting. Confined to one thread at
/// a time. Back pressure is an answer, never an error.
public interface Link extends AutoCloseable {
  /// Answer of [#post]: taken.
  int ACCEPTED = 0;

  /// Answer of [#post]: no room now; poll and try again.
  int BACK_PRESSURED = -1;

  /// Answer of [#post]: the link is closed or broken; the transfer's failure says why.
  int CLOSED = -2;

  /// Returns the rank at the other end.
  int peer();

  /// Returns the communicator this link belongs to.
  int communicator();

  /// Starts a transfer; allocates nothing. The memory it names must stay as it is until the
  /// transfer is done.
  ///
  /// A sending end takes transfers made by [Transfer#send], a receiving end those made by
  /// [Transfer#receive]. Transfers of 0 bytes are legal.
  ///
  /// @return [#ACCEPTED], [#BACK_PRESSURED] or [#CLOSED]
  int post(Transfer transfer);

  /// Moves what can be moved without waiting; allocates nothing. Completed transfers become
  /// [Transfer.State#DONE].
  ///
  /// @return amount of work done, 0 if there was none
  int poll();

  /// Begins to give this end up: transfers in flight fail and the other end hears of it, as far as
  /// that waits for nobody. [#abandon] follows, and does the same where this was not called.
  /// Whoever gives several links up begins with all of them, so that their other ends are waited
  /// for together. Idempotent.
  default void beginAbandon() {}

  /// Gives this end up: transfers in flight fail and touch no memory any more, the other end fails
  /// after what was sent. What the link holds may stay until [#close]: nothing is freed that the
  /// other end may be in the middle of. Idempotent.
  void abandon();

  /// Closes this end; idempotent. Transfers in flight fail.
  @Override
  void close();
}
