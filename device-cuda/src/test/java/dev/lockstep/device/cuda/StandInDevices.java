package dev.lockstep.device.cuda;

import dev.lockstep.device.DeviceProvider;
import dev.lockstep.device.cuda.ffi.CublasLt;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.device.cuda.ffi.CudaLibraries;
import dev.lockstep.device.cuda.ffi.LibraryFiles;
import dev.lockstep.device.cuda.ffi.Nccl;
import java.util.List;
import java.util.Optional;
import java.util.function.UnaryOperator;

/// Providers of devices whose libraries are the stand-ins.
final class StandInDevices {
  private StandInDevices() {}

  /// Devices that multiply by kernels of this module.
  static DeviceProvider exact() {
    return decorated(driver -> driver);
  }

  /// Devices that multiply by the stand-in for cuBLASLt.
  static DeviceProvider withCublasLt() {
    return withCublasLt(products -> products);
  }

  /// Devices that multiply by what a decorator makes of the stand-in for cuBLASLt.
  static DeviceProvider withCublasLt(UnaryOperator<CublasLt> decorator) {
    StandIns.assumeCompiler();
    List<String> files = List.of(StandIns.cublasLt().toString());
    return provider(files, decorator, driver -> driver, nccl -> nccl);
  }

  /// Devices that multiply by the stand-in for cuBLASLt and whose driver is what a decorator makes
  /// of the stand-in.
  static DeviceProvider withCublasLtAnd(UnaryOperator<CudaDriver> decorator) {
    StandIns.assumeCompiler();
    List<String> files = List.of(StandIns.cublasLt().toString());
    return provider(files, products -> products, decorator, nccl -> nccl);
  }

  /// Devices whose driver is what a decorator makes of the stand-in.
  static DeviceProvider decorated(UnaryOperator<CudaDriver> decorator) {
    return provider(List.of(), products -> products, decorator, nccl -> nccl);
  }

  /// Devices whose NCCL is what a decorator makes of the stand-in.
  static DeviceProvider withNccl(UnaryOperator<Nccl> decorator) {
    return provider(List.of(), products -> products, driver -> driver, decorator);
  }

  /// Devices that have no NCCL.
  static DeviceProvider withoutNccl() {
    StandIns.assumeCompiler();
    LibraryFiles files =
        new LibraryFiles(
            List.of(StandIns.cuda().toString()), List.of(StandIns.nvrtc().toString()), List.of());
    return new CudaDeviceProvider(
        () -> CudaLibraries.find(files), new CubinCache(Optional.of(StandIns.cache())));
  }

  private static DeviceProvider provider(
      List<String> cublasLt,
      UnaryOperator<CublasLt> products,
      UnaryOperator<CudaDriver> driver,
      UnaryOperator<Nccl> nccl) {
    StandIns.assumeCompiler();
    LibraryFiles files =
        new LibraryFiles(
            List.of(StandIns.cuda().toString()),
            List.of(StandIns.nvrtc().toString()),
            cublasLt,
            List.of(StandIns.nccl().toString()),
            !cublasLt.isEmpty(),
            true);
    return new CudaDeviceProvider(
        () ->
            switch (CudaLibraries.find(files)) {
              case CudaLibraries.Absent absent -> absent;
              case CudaLibraries.Found found ->
                  new CudaLibraries.Found(
                      driver.apply(found.driver()),
                      found.nvrtc(),
                      found.cublasLt().map(products),
                      found.nccl().map(nccl));
            },
        new CubinCache(Optional.of(StandIns.cache())));
  }
}
