package dev.lockstep.device;

/// A copy between a tensor and host memory that is prepared once and started again and again.
/// Confined to its stream's thread; allocates nothing after it is made.
public interface HostCopy extends AutoCloseable {
  /// Starts the copy: after what the stream was given before and uses the tensor's bytes, before
  /// what it is given behind and uses them. Until it is done the host memory is left alone. A copy
  /// that is under way may be started again, and then is done when the last one is.
  ///
  /// @throws IllegalStateException if the tensor is closed
  void start();

  /// Returns whether the copy is done; true before the first start.
  ///
  /// @throws IndexOutOfBoundsException if a program that is over met an id outside its table
  boolean isDone();

  /// Waits until the copy is done.
  ///
  /// @throws IndexOutOfBoundsException as [#isDone]
  void await();

  /// Waits until nothing touches the host memory any more, whatever becomes of the copy;
  /// idempotent.
  @Override
  void close();
}
