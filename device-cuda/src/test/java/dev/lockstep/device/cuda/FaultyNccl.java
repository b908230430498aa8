package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.HostSegments;
import dev.lockstep.device.cuda.ffi.Nccl;
import dev.lockstep.device.cuda.ffi.NcclConfig;
import java.lang.foreign.ValueLayout;
import java.util.OptionalInt;

/// An NCCL some of whose functions fail on demand, or which reports an error by and by.
final class FaultyNccl extends FaultyCalls<Nccl> {
  private volatile int asyncError;

  FaultyNccl() {
    super(Nccl.class);
  }

  /// Lets every communicator report this error from now on.
  void report(int status) {
    asyncError = status;
  }

  @Override
  OptionalInt instead(String function, Object[] arguments) {
    OptionalInt status = super.instead(function, arguments);
    if (status.isPresent() || asyncError == 0 || !function.equals("commGetAsyncError")) {
      return status;
    }
    HostSegments.at((long) arguments[1], Integer.BYTES).set(ValueLayout.JAVA_INT, 0, asyncError);
    return OptionalInt.of(NcclConfig.SUCCESS);
  }
}
