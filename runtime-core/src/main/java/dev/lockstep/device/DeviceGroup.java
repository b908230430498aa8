package dev.lockstep.device;

import dev.lockstep.tensor.Tensor;
import java.util.List;

/// Ranks whose devices run collectives together. Confined to the thread of the device's streams.
///
/// Every rank starts the same collectives in the same order, also among groups of one device: they
/// run one after another, in the order of their starts, beside what else the device computes. When
/// one fails, every later use of the device's groups and streams throws that failure.
public interface DeviceGroup extends AutoCloseable {
  /// Prepares a collective over fixed tensors.
  ///
  /// @param collective what it is, which the device supports
  /// @param stream the queue of the device that makes what is read, and uses what is written
  /// @param inputs this rank's subtrees, or its part; borrowed until the collective is closed
  /// @param output what this rank gets; borrowed likewise. A part that is gathered may lie at its
  ///   place within it; otherwise it overlaps no input
  /// @throws IllegalArgumentException if the tensors do not fit, or the device does not support it
  Prepared prepare(DeviceCollective collective, Stream stream, List<Tensor> inputs, Tensor output);

  /// Leaves the group once what this rank has queued is over, or has failed; idempotent.
  @Override
  void close();

  /// A prepared collective; running it allocates nothing.
  interface Prepared extends AutoCloseable {
    /// Queues it behind what its stream has been given so far, and returns. What it reads and
    /// writes is left alone until [#await].
    ///
    /// @throws dev.lockstep.failure.LockstepException if one of the device's collectives failed
    void start();

    /// Lets what its stream is given from now on wait for it, and returns; nothing if it was not
    /// started.
    void await();

    /// Gives the tensors back, once it is over; idempotent.
    @Override
    void close();
  }
}
