package dev.lockstep.device;

import dev.lockstep.failure.LockstepException;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/// Collectives that a device runs in its own memory, queued between its programs, without the host
/// (NCCL), and which of Lockstep's promises then hold. Thread-safe.
public interface DeviceCollectives {
  /// Returns the library and its version, for example `NCCL 2.30.7`: ranks of one group have the
  /// same.
  String kind();

  /// Returns which chip this is, unlike all others of its host: two ranks of one group have two.
  /// Empty where ranks may share a chip.
  String place();

  /// Returns whether the device runs this collective; the same on every rank of a kind.
  Support supports(DeviceCollective collective);

  /// Returns the promises that hold for these collectives.
  Promises promises();

  /// Makes the name of a new group, by which its ranks find each other: one rank calls this and
  /// tells the others.
  ///
  /// @throws dev.lockstep.failure.DeviceException if the library refuses
  String newGroup();

  /// Joins a group; every rank of it calls this, and it returns when all have. The caller closes
  /// the group before the device.
  ///
  /// @throws LockstepException if ranks are missing by the deadline, the library refuses, or the
  ///   membership's interruption says so
  DeviceGroup join(Membership membership);

  /// A rank's place in a group.
  ///
  /// @param group what [#newGroup] returned
  /// @param rank this rank's number in it
  /// @param ranks how many there are
  /// @param sameBits whether sums follow the lane tree; otherwise the library's own order
  /// @param timeout deadline of joining, and of each collective
  /// @param interruption asked while something waits
  record Membership(
      String group,
      int rank,
      int ranks,
      boolean sameBits,
      Duration timeout,
      Interruption interruption) {}

  /// Why what waits need not wait any longer. Called by any thread.
  interface Interruption {
    /// Returns why the collective cannot complete, or null.
    ///
    /// @param op what waits, for example `all_reduce`
    /// @param rank this rank's number in its group
    /// @param sequence number of the collective in its group
    @Nullable LockstepException why(String op, int rank, long sequence);
  }

  /// What holds.
  ///
  /// @param deadline each has a deadline
  /// @param fingerprint disagreement among ranks is found and typed by the library itself
  /// @param abort an abort always ends
  /// @param sameBits sums follow the lane tree where that is asked for
  record Promises(boolean deadline, boolean fingerprint, boolean abort, boolean sameBits) {}
}
