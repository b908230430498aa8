package dev.lockstep.device.cuda.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// NVIDIA's own libraries have every function that the bindings name: each binding looks all of
/// them up when it is made.
@Timeout(60)
class RealSymbolsTest {
  private static String library(String prefix, String judge, String wheel) {
    var found = RealLibraries.find(prefix);
    assumeTrue(
        found.isPresent(),
        "judge %s: not installed (pip install %s into LOCKSTEP_PYTHON, or run .ci/run once)"
            .formatted(judge, wheel));
    return found.get().toString();
  }

  @Test
  void nvrtcHasWhatIsBound() {
    String nvrtc = library("libnvrtc.so.", "nvrtc", "nvidia-cuda-nvrtc");
    var found = CudaLibraries.nvrtc(new LibraryFiles(List.of(), List.of(nvrtc), List.of()));
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment version = arena.allocate(ValueLayout.JAVA_INT, 2);
      long address = version.address();
      assertThat(found.orElseThrow().version(address, address + Integer.BYTES)).isZero();
      assertThat(version.getAtIndex(ValueLayout.JAVA_INT, 0)).isGreaterThanOrEqualTo(12);
    }
  }

  @Test
  void cublasLtHasWhatIsBound() {
    String products = library("libcublasLt.so.", "cublas", "nvidia-cublas");
    var library = new NativeCublasLt(NativeCalls.open(products));
    assertThat(library.version()).isGreaterThanOrEqualTo(120_000);
    assertThat(library.statusString(Cu.SUCCESS)).containsIgnoringCase("success");
  }

  @Test
  void ncclHasWhatIsBound() {
    String collectives = library("libnccl.so.", "nccl", "nvidia-nccl-cu13");
    var library = new NativeNccl(NativeCalls.open(collectives));
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment version = arena.allocate(ValueLayout.JAVA_INT);
      assertThat(library.getVersion(version.address())).isZero();
      assertThat(version.get(ValueLayout.JAVA_INT, 0)).isGreaterThanOrEqualTo(NcclConfig.VERSION);
    }
    assertThat(library.errorString(NcclConfig.REMOTE_ERROR)).containsIgnoringCase("remote");
    assertThat(library.lastError(0)).isNotNull();
  }
}
