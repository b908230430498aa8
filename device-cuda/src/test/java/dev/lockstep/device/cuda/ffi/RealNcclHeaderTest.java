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

/// The numbers and the struct of [NcclConfig] are those of NVIDIA's header, and functions take what
/// the bindings give: a C++ compiler compares.
@Timeout(60)
class RealNcclHeaderTest {
  private static final Pattern CONSTANT =
      Pattern.compile("/// `(\\w+)`\\.\\s+public static final int (\\w+) = (\\d+);");

  private static final List<String> NEEDED = List.of("crt/host_defines.h", "nv/target");

  @TempDir private Path folder;

  @Test
  void constantsAndStructAreThoseOfTheHeader() throws Exception {
    StandIns.assumeCompiler();
    Optional<Path> nccl = RealLibraries.find("nccl.h");
    Optional<Path> cuda = RealLibraries.find("cuda_runtime.h");
    assumeTrue(
        nccl.isPresent()
            && cuda.isPresent()
            && NEEDED.stream().map(cuda.get()::resolveSibling).allMatch(Files::exists),
        "judge nccl-headers: not installed (pip install nvidia-nccl-cu13 nvidia-cuda-runtime"
            + " nvidia-cuda-crt nvidia-cuda-cccl into LOCKSTEP_PYTHON, or run .ci/run once)");
    StringBuilder program = new StringBuilder("#include <cstddef>\n#include <nccl.h>\n");
    int constants = Headers.compare(Headers.source("NcclConfig"), CONSTANT, program);
    assertThat(constants).isEqualTo(10);
    program.append(
        """
        static_assert(NCCL_API_MAGIC == 0x%xu, "magic");
        static_assert(NCCL_VERSION(2, 14, 0) == %d, "version");
        static_assert(sizeof(ncclUniqueId) == NCCL_UNIQUE_ID_BYTES, "id");
        static_assert(offsetof(ncclConfig_t, size) == 0, "size");
        static_assert(offsetof(ncclConfig_t, magic) == %d, "magic's place");
        static_assert(offsetof(ncclConfig_t, version) == %d, "version's place");
        static_assert(offsetof(ncclConfig_t, blocking) == %d, "blocking");
        static_assert(offsetof(ncclConfig_t, cgaClusterSize) == %d + 4, "what follows");
        static_assert(NCCL_CONFIG_UNDEF_INT == -2147483647 - 1, "undefined");
        ncclResult_t (*init)(ncclComm_t*, int, ncclUniqueId, int, ncclConfig_t*) =
            ncclCommInitRankConfig;
        ncclResult_t (*state)(ncclComm_t, ncclResult_t*) = ncclCommGetAsyncError;
        ncclResult_t (*send)(const void*, size_t, ncclDataType_t, int, ncclComm_t, cudaStream_t) =
            ncclSend;
        ncclResult_t (*receive)(void*, size_t, ncclDataType_t, int, ncclComm_t, cudaStream_t) =
            ncclRecv;
        ncclResult_t (*reduce)(
            const void*, void*, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t, cudaStream_t) =
            ncclAllReduce;
        ncclResult_t (*scatter)(
            const void*, void*, size_t, ncclDataType_t, ncclRedOp_t, ncclComm_t, cudaStream_t) =
            ncclReduceScatter;
        ncclResult_t (*gather)(
            const void*, void*, size_t, ncclDataType_t, ncclComm_t, cudaStream_t) = ncclAllGather;
        ncclResult_t (*broadcast)(
            const void*, void*, size_t, ncclDataType_t, int, ncclComm_t, cudaStream_t) =
            ncclBroadcast;
        """
            .formatted(
                NcclConfig.MAGIC,
                NcclConfig.VERSION,
                NcclConfig.MAGIC_OFFSET,
                NcclConfig.VERSION_OFFSET,
                NcclConfig.BLOCKING_OFFSET,
                NcclConfig.BLOCKING_OFFSET));
    List<Path> includes =
        List.of(nccl.get().getParent(), cuda.get().getParent()); // two wheels, two folders
    assertThat(Headers.complaints(folder, program.toString(), includes)).isEmpty();
  }
}
