package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.cuda.ffi.CudaLibraries;
import dev.lockstep.device.cuda.ffi.LibraryFiles;
import dev.lockstep.failure.Availability;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.memory.MemoryPool;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/// A machine without NVIDIA's libraries.
class CudaAbsentTest {
  private static CudaDeviceProvider provider(String driver, String nvrtc) {
    LibraryFiles files = new LibraryFiles(List.of(driver), List.of(nvrtc), List.of());
    return new CudaDeviceProvider(
        () -> CudaLibraries.find(files), new CubinCache(Optional.empty()));
  }

  @Test
  void saysThatTheDriverIsNotInstalled() {
    CudaDeviceProvider provider = provider("/nowhere/libcuda.so.1", "/nowhere/libnvrtc.so");
    assertThat(provider.probe())
        .isEqualTo(
            new Availability.Unavailable(
                "NVIDIA's driver is not installed: tried=[/nowhere/libcuda.so.1] (install it, or"
                    + " set LOCKSTEP_LIBCUDA to the file of libcuda)"));
    try (MemoryPool pool = MemoryPool.root("absent", 0)) {
      DeviceOptions options = new DeviceOptions(pool, 1, 0);
      assertThatThrownBy(() -> provider.open(0, options))
          .isInstanceOf(DeviceException.class)
          .hasMessageContaining("LOCKSTEP_LIBCUDA");
    }
  }

  @Test
  void saysThatTheNamedCublasLtIsNotThere() {
    StandIns.assumeCompiler();
    LibraryFiles named =
        new LibraryFiles(
            List.of(StandIns.cuda().toString()),
            List.of(StandIns.nvrtc().toString()),
            List.of("/nowhere/libcublasLt.so.13"));
    assertThat(CudaLibraries.find(named).toString())
        .contains("cuBLASLt cannot be opened", "/nowhere/libcublasLt.so.13", "or to none");
    LibraryFiles usual =
        new LibraryFiles(named.driver(), named.nvrtc(), named.cublasLt(), List.of(), false, false);
    assertThat(CudaLibraries.find(usual)).isInstanceOf(CudaLibraries.Found.class);
  }

  @Test
  void saysThatTheNamedNcclIsNotThere() {
    StandIns.assumeCompiler();
    List<String> driver = List.of(StandIns.cuda().toString());
    List<String> nvrtc = List.of(StandIns.nvrtc().toString());
    List<String> absent = List.of("/nowhere/libnccl.so.2");
    assertThat(
            CudaLibraries.find(new LibraryFiles(driver, nvrtc, List.of(), absent, false, true))
                .toString())
        .contains("NCCL cannot be opened", "/nowhere/libnccl.so.2", "LOCKSTEP_LIBNCCL", "to none");
    assertThat(CudaLibraries.find(new LibraryFiles(driver, nvrtc, List.of(), absent, false, false)))
        .isInstanceOf(CudaLibraries.Found.class);
  }

  /// As in a container whose user the system does not know: other devices open beside this one.
  @Test
  void aUserWithoutAHomeKeepsNoKernels() {
    String home = System.setProperty("user.home", "?");
    try {
      CubinCache none = CubinCache.standard(Map.of());
      none.keep(new byte[] {1}, new byte[] {2});
      assertThat(none.find(new byte[] {1})).isEmpty();
    } finally {
      System.setProperty("user.home", home);
    }
  }

  @Test
  void saysThatALibraryIsAnotherOne() {
    assertThat(provider("libc.so.6", "libc.so.6").probe().toString()).contains("cuInit");
  }
}
