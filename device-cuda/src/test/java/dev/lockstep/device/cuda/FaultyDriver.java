package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.CudaDriver;

/// A driver some of whose functions fail on demand.
final class FaultyDriver extends FaultyCalls<CudaDriver> {
  FaultyDriver() {
    super(CudaDriver.class);
  }
}
