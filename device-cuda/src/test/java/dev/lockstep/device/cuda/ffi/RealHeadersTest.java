package dev.lockstep.device.cuda.ffi;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.device.cuda.StandIns;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// The numbers of [Cu] are those of NVIDIA's headers: each constant's documentation names what it
/// stands for, and a C++ compiler compares.
@Timeout(60)
class RealHeadersTest {
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
    int constants = Headers.compare(Headers.source("Cu"), CONSTANT, program);
    assertThat(constants).isGreaterThan(30);
    program.append(
        """
        static_assert(sizeof(cublasLtMatmulAlgo_t) == %d, "algorithm");
        static_assert(sizeof(cublasLtMatmulHeuristicResult_t) == %d, "heuristic");
        static_assert(offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize) == 64, "workspace");
        static_assert(offsetof(cublasLtMatmulHeuristicResult_t, state) == 72, "state");
        static_assert(sizeof(CUlaunchConfig) == %d, "launch");
        static_assert(offsetof(CUlaunchConfig, gridDimX) == 0, "grid");
        static_assert(offsetof(CUlaunchConfig, blockDimZ) == 20, "block");
        static_assert(offsetof(CUlaunchConfig, sharedMemBytes) == %d, "shared memory");
        static_assert(offsetof(CUlaunchConfig, hStream) == %d, "stream");
        static_assert(offsetof(CUlaunchConfig, attrs) == %d, "attributes");
        static_assert(offsetof(CUlaunchConfig, numAttrs) == %d, "count");
        static_assert(sizeof(CUlaunchAttribute) == %d, "attribute");
        static_assert(offsetof(CUlaunchAttribute, value) == %d, "value");
        static_assert(offsetof(CUlaunchAttributeValue, priority) == 0, "priority");
        CUresult (*launch)(const CUlaunchConfig*, CUfunction, void**, void**) = cuLaunchKernelEx;
        CUresult (*priorities)(int*, int*) = cuCtxGetStreamPriorityRange;
        """
            .formatted(
                Cu.ALGORITHM_BYTES,
                Cu.HEURISTIC_BYTES,
                LaunchConfig.BYTES,
                LaunchConfig.SHARED_OFFSET,
                LaunchConfig.STREAM_OFFSET,
                LaunchConfig.ATTRIBUTES_OFFSET,
                LaunchConfig.COUNT_OFFSET,
                LaunchConfig.ATTRIBUTE_BYTES,
                LaunchConfig.VALUE_OFFSET));
    assertThat(Headers.complaints(folder, program.toString(), List.of(include))).isEmpty();
  }
}
