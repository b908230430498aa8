package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.device.cuda.ffi.CudaLibraries;
import dev.lockstep.device.cuda.ffi.LibraryFiles;
import java.util.List;
import java.util.function.UnaryOperator;

/// Providers of devices whose libraries are the stand-ins.
final class StandInDevices {
  private StandInDevices() {}

  /// Devices that multiply by kernels of this module.
  static DeviceProvider exact() {
    return provider(List.of(), driver -> driver);
  }

  /// Devices that multiply by the stand-in for cuBLASLt.
  static DeviceProvider withCublasLt() {
    StandIns.assumeCompiler();
    return provider(List.of(StandIns.cublasLt().toString()), driver -> driver);
  }

  /// Devices whose driver is what a decorator makes of the stand-in.
  static DeviceProvider decorated(UnaryOperator<CudaDriver> decorator) {
    return provider(List.of(), decorator);
  }

  private static DeviceProvider provider(
      List<String> cublasLt, UnaryOperator<CudaDriver> decorator) {
    StandIns.assumeCompiler();
    LibraryFiles files =
        new LibraryFiles(
            List.of(StandIns.cuda().toString()), List.of(StandIns.nvrtc().toString()), cublasLt);
    return new CudaDeviceProvider(
        () ->
            switch (CudaLibraries.find(files)) {
              case CudaLibraries.Absent absent -> absent;
              case CudaLibraries.Found found ->
                  new CudaLibraries.Found(
                      decorator.apply(found.driver()), found.nvrtc(), found.cublasLt());
            },
        StandIns.cache());
  }
}
