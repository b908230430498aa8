package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.abort;

import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.cuda.ffi.CudaLibraries;
import dev.lockstep.device.cuda.ffi.LibraryFiles;
import dev.lockstep.failure.Availability;
import java.util.List;

/// NVIDIA's GPU 0, where there is one.
public final class Gpu {
  private Gpu() {}

  /// The device as users get it.
  public static DeviceProvider provider() {
    return present(new CudaDeviceProvider());
  }

  /// The device with products in the CPU's order of sums.
  public static DeviceProvider exact() {
    LibraryFiles usual = LibraryFiles.standard();
    LibraryFiles files =
        new LibraryFiles(
            usual.driver(), usual.nvrtc(), List.of(), usual.nccl(), false, usual.needsNccl());
    return present(
        new CudaDeviceProvider(
            () -> CudaLibraries.find(files), CubinCache.standard(System.getenv())));
  }

  private static DeviceProvider present(DeviceProvider provider) {
    if (provider.probe() instanceof Availability.Unavailable(String reason)) {
      if (Boolean.getBoolean("lockstep.gpu")) {
        fail("there is no GPU: " + reason);
      }
      abort("judge gpu: " + reason);
    }
    return provider;
  }
}
