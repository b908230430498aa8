package dev.lockstep.device.cuda;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.device.cuda.ffi.CudaLibraries;
import dev.lockstep.device.cuda.ffi.LibraryFiles;
import dev.lockstep.failure.Availability;
import dev.lockstep.failure.DeviceException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.function.Supplier;

/// Opens NVIDIA's GPUs. Public for [java.util.ServiceLoader] alone.
public final class CudaDeviceProvider implements DeviceProvider {
  private final Supplier<CudaLibraries> libraries;
  private final CubinCache cache;

  /// Makes the provider; for the service loader.
  public CudaDeviceProvider() {
    this(() -> CudaLibraries.find(LibraryFiles.standard()), CubinCache.standard(System.getenv()));
  }

  /// Makes a provider of other libraries.
  ///
  /// @param libraries asked at each probe and each opening
  /// @param cache where compiled kernels are kept
  CudaDeviceProvider(Supplier<CudaLibraries> libraries, CubinCache cache) {
    this.libraries = libraries;
    this.cache = cache;
  }

  @Override
  public String name() {
    return "cuda";
  }

  @Override
  public Availability probe() {
    return switch (libraries.get()) {
      case CudaLibraries.Absent(String reason) -> new Availability.Unavailable(reason);
      case CudaLibraries.Found found ->
          count(found.driver(), found.nccl().map(NcclLibrary::words).orElse("no NCCL"));
    };
  }

  private static Availability count(CudaDriver driver, String nccl) {
    int status = driver.init(0);
    if (status != Cu.SUCCESS) {
      return new Availability.Unavailable(
          "NVIDIA's driver does not start: status=%d %s (%s)"
              .formatted(
                  status,
                  driver.errorName(status),
                  switch (status) {
                    case Cu.ERROR_NO_DEVICE -> "there is no GPU, or CUDA_VISIBLE_DEVICES hides it";
                    case Cu.ERROR_STUB_LIBRARY ->
                        "libcuda is the toolkit's stub: install the driver";
                    case Cu.ERROR_SYSTEM_DRIVER_MISMATCH ->
                        "kernel module and library differ: restart the machine after the update";
                    default -> driver.errorString(status) + "; nvidia-smi may say more";
                  }));
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment word = arena.allocate(ValueLayout.JAVA_INT);
      status = driver.deviceGetCount(word.address());
      int count = status == Cu.SUCCESS ? word.get(ValueLayout.JAVA_INT, 0) : 0;
      if (count == 0) {
        return new Availability.Unavailable(
            "NVIDIA's driver finds no GPU: status=%d (see nvidia-smi, and CUDA_VISIBLE_DEVICES)"
                .formatted(status));
      }
      driver.driverGetVersion(word.address());
      int version = word.get(ValueLayout.JAVA_INT, 0);
      return new Availability.Available(
          count, "driver for CUDA %d.%d, %s".formatted(version / 1000, version % 1000 / 10, nccl));
    }
  }

  @Override
  public Device open(int ordinal, DeviceOptions options) {
    return switch (libraries.get()) {
      case CudaLibraries.Absent(String reason) ->
          throw new DeviceException("cuda:" + ordinal, "open", 0, reason, null);
      case CudaLibraries.Found found -> CudaDevice.open(found, cache, ordinal, options);
    };
  }
}
