package dev.lockstep.device.cuda.ffi;

import dev.lockstep.device.cuda.StandIns;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

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

  /// Returns how often a function of [StandIns#idle] was called, one of those that steps call.
  public static long idleCalls(String function) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment calls = arena.allocate(ValueLayout.JAVA_LONG);
      int status =
          NativeCalls.call(
              NativeCalls.open(StandIns.idle().toString()).findOrThrow("idle_calls"),
              arena.allocateFrom(function).address(),
              calls.address());
      if (status != 0) {
        throw new IllegalArgumentException("function is not counted: name=" + function);
      }
      return calls.get(ValueLayout.JAVA_LONG, 0);
    }
  }

  /// Returns how many operations of NCCL's ranks have begun.
  public static long ncclOperations() {
    return NativeCalls.size(
        NativeCalls.open(StandIns.nccl().toString()).findOrThrow("standin_operations"));
  }
}
