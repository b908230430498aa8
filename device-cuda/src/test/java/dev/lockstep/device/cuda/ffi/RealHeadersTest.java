package dev.lockstep.device.cuda.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.device.cuda.StandIns;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// The numbers of [Cu] are those of NVIDIA's headers: each constant's documentation names what it
/// stands for, and a C++ compiler compares.
@Timeout(60)
class RealHeadersTest {
  private static final Path SOURCE =
      Path.of(
          System.getProperty("lockstep.home"),
          "device-cuda/src/main/java/dev/lockstep/device/cuda/ffi/Cu.java");

  private static final Pattern CONSTANT =
      Pattern.compile("/// `([A-Z][\\w |]*)`[^;]*?static final int (\\w+) = (\\d+);");

  private static final List<String> NEEDED =
      List.of("cuda.h", "nvrtc.h", "cublasLt.h", "crt/host_defines.h", "nv/target");

  @TempDir private Path folder;

  @Test
  void constantsAreThoseOfTheHeaders() throws Exception {
    StandIns.assumeCompiler();
    Optional<Path> header = RealLibraries.find("cublasLt.h");
    Path include = header.map(Path::getParent).orElse(Path.of("absent"));
    assumeTrue(
        NEEDED.stream().map(include::resolve).allMatch(Files::exists),
        "judge cuda-headers: not installed (pip install nvidia-cublas nvidia-cuda-nvrtc"
            + " nvidia-cuda-runtime nvidia-cuda-crt nvidia-cuda-cccl into LOCKSTEP_PYTHON, or run"
            + " .ci/run once)");
    StringBuilder program =
        new StringBuilder("#include <cuda.h>\n#include <nvrtc.h>\n#include <cublasLt.h>\n");
    int constants = 0;
    Matcher found = CONSTANT.matcher(Files.readString(SOURCE));
    while (found.find()) {
      constants++;
      program.append(
          "static_assert((int)(%s) == %s, \"%s\");%n"
              .formatted(found.group(1), found.group(3), found.group(2)));
    }
    assertThat(constants).isGreaterThan(30);
    program.append(
        """
        static_assert(sizeof(cublasLtMatmulAlgo_t) == %d, "algorithm");
        static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == %d, "heuristic");
        static_assert(offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) == 64, "workspace");
        static_assert(offsetof(cublasLtMatmulHeuristicResult_t, state) == 72, "state");
        """
            .formatted(Cu.ALGORITHM_BYTES, Cu.HEURISTIC_BYTES));
    assertThat(compile(program.toString(), include)).isEmpty();
  }

  /// Returns what the compiler complains of.
  private String compile(String program, Path include) throws IOException, InterruptedException {
    Path source = Files.writeString(folder.resolve("constants.cpp"), program);
    Process compiler =
        new ProcessBuilder("g++", "-std=c++17", "-fsyntax-only", "-I" + include, source.toString())
            .redirectErrorStream(true)
            .start();
    String output = new String(compiler.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return compiler.waitFor() == 0 ? "" : output;
  }
}
