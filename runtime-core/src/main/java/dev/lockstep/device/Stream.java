package dev.lockstep.device;

import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;

/// A queue of work of one device, in order. Single-threaded. While a program runs, its tensors'
/// buffers are leased.
public interface Stream extends AutoCloseable {
  /// Runs a program. On return the work is queued; on the CPU device it is done.
  ///
  /// @throws IllegalStateException if a bound buffer is closed
  void run(BoundProgram program);

  /// Copies host memory into a tensor of as many bytes, after what was queued before and before
  /// what is queued behind. On return the host memory may be written again; the copy may be under
  /// way.
  void copyIn(Tensor to, MemorySegment from);

  /// Copies a tensor into host memory of as many bytes and waits for that: for what was queued
  /// before and uses the tensor's buffer, not for everything.
  ///
  /// @throws IndexOutOfBoundsException if a program that is over met an id outside its table
  void copyOut(MemorySegment to, Tensor from);

  /// Prepares a copy of host memory into a tensor of as many bytes, which need not be done when
  /// [HostCopy#start] returns; the caller closes it.
  ///
  /// @throws IllegalArgumentException if the sizes differ, here or when it is started
  default HostCopy prepareCopyIn(Tensor to, MemorySegment from) {
    return new ImmediateCopy(() -> copyIn(to, from));
  }

  /// Prepares a copy of a tensor into host memory of as many bytes, which need not be done when
  /// [HostCopy#start] returns; the caller closes it.
  ///
  /// @throws IllegalArgumentException if the sizes differ, here or when it is started
  default HostCopy prepareCopyOut(MemorySegment to, Tensor from) {
    return new ImmediateCopy(() -> copyOut(to, from));
  }

  /// Marks this point of the queue.
  Event record();

  /// Waits for everything queued.
  void synchronize();

  /// Waits for everything queued and frees the queue; idempotent.
  @Override
  void close();
}
