package dev.lockstep.device.cuda.ffi;

import dev.lockstep.device.cuda.StandIns;

/// What the stand-ins have counted in this process.
public final class StandInCounts {
  private StandInCounts() {}

  /// Returns how many kernels have been launched.
  public static long launches() {
    return NativeCalls.size(
        NativeCalls.open(StandIns.cuda().toString()).findOrThrow("standin_launches"));
  }

  /// Returns how many of them were to go before all else.
  public static long urgentLaunches() {
    return NativeCalls.size(
        NativeCalls.open(StandIns.cuda().toString()).findOrThrow("standin_urgent_launches"));
  }

  /// Returns how many operations of NCCL's ranks have begun.
  public static long ncclOperations() {
    return NativeCalls.size(
        NativeCalls.open(StandIns.nccl().toString()).findOrThrow("standin_operations"));
  }
}
