package dev.lockstep.device.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaLibraries;
import dev.lockstep.device.cuda.ffi.LibraryFiles;
import dev.lockstep.device.cuda.ffi.Nvrtc;
import dev.lockstep.failure.DeviceException;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Compiling kernels, keeping them, and what is said of those that do not compile.
@Timeout(120)
class KernelCompilerTest {
  private static final String SOURCE =
      "extern \"C\" __global__ void twice(float* x) {\n  x[threadIdx.x] *= 2.0f;\n}\n";

  private final AtomicInteger compilations = new AtomicInteger();
  private int refusal = Cu.SUCCESS;
  @TempDir private Path folder;
  private KernelCompiler compiler;

  @BeforeEach
  void open() {
    StandIns.assumeCompiler();
    LibraryFiles files =
        new LibraryFiles(List.of(), List.of(StandIns.nvrtc().toString()), List.of());
    Nvrtc nvrtc = counted(CudaLibraries.nvrtc(files).orElseThrow());
    compiler = new KernelCompiler(nvrtc, new CubinCache(Optional.of(folder)), "cuda:0", "sm_90a");
  }

  private Nvrtc counted(Nvrtc nvrtc) {
    return (Nvrtc)
        Proxy.newProxyInstance(
            Nvrtc.class.getClassLoader(),
            new Class<?>[] {Nvrtc.class},
            (_, method, arguments) -> {
              if (method.getName().equals("compileProgram")) {
                compilations.incrementAndGet();
                if (refusal != Cu.SUCCESS) {
                  return refusal;
                }
              }
              try {
                return method.invoke(nvrtc, arguments);
              } catch (InvocationTargetException thrown) {
                throw thrown.getCause();
              }
            });
  }

  @Test
  void showsTheLineOfAnError() {
    String wrong = SOURCE.replace("threadIdx.x", "nobodyKnows");
    assertThatThrownBy(() -> compiler.compile("twice.cu", wrong, List.of()))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("source=twice.cu")
        .hasMessageContaining("sm_90a")
        .hasMessageContaining("line=x[nobodyKnows] *= 2.0f;");
    assertThat(kept()).isEmpty();
  }

  @Test
  void saysWhichNvrtcDoesNotKnowTheGpu() {
    refusal = Cu.NVRTC_ERROR_INVALID_OPTION;
    assertThatThrownBy(() -> compiler.compile("twice.cu", SOURCE, List.of()))
        .isInstanceOf(DeviceException.class)
        .hasMessageContaining("architecture=sm_90a, nvrtc=" + compiler.version())
        .hasMessageContaining("install a CUDA toolkit that names this GPU");
  }

  @Test
  void compilesOnceAndKeepsWhatItMade() {
    byte[] first = compiler.compile("twice.cu", SOURCE, List.of());
    byte[] second = compiler.compile("twice.cu", SOURCE, List.of());
    assertThat(second).isEqualTo(first);
    assertThat(compilations).hasValue(1);
    compiler.compile("twice.cu", SOURCE, List.of("TILE=3"));
    assertThat(compilations).hasValue(2);
    assertThat(kept()).hasSize(2).allMatch(file -> file.toString().endsWith(".cubin"));
  }

  @Test
  void makesADamagedOneAnew() throws IOException {
    byte[] image = compiler.compile("twice.cu", SOURCE, List.of());
    Path file = kept().getFirst();
    byte[] damaged = Files.readAllBytes(file);
    damaged[damaged.length / 2] ^= 1;
    Files.write(file, damaged);
    assertThat(compiler.compile("twice.cu", SOURCE, List.of())).isEqualTo(image);
    assertThat(compilations).hasValue(2);
    assertThat(Files.size(file)).isEqualTo(image.length + 32);
  }

  private List<Path> kept() {
    try (Stream<Path> files = Files.list(folder)) {
      return files.toList();
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }
}
