package dev.lockstep.device.cuda;

import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.abort;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceCollectives;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.device.DeviceProvider;
import dev.lockstep.failure.Availability;
import dev.lockstep.memory.MemoryPool;
import java.util.Optional;
import org.junit.jupiter.api.Tag;

/// Collectives by NVIDIA's NCCL: among as many ranks as there are GPUs, or two on one GPU with
/// `NCCL_MULTI_RANK_GPU_ENABLE=1` and NCCL 2.30 or later.
@Tag("gpu")
class GpuCollectivesTest extends CudaCollectivesTest {
  @Override
  DeviceProvider provider() {
    return Gpu.exact();
  }

  @Override
  int mostRanks() {
    int gpus =
        provider().probe() instanceof Availability.Available(int count, String _) ? count : 0;
    try (MemoryPool pool = MemoryPool.root("gpu", Long.MAX_VALUE);
        Device device = provider().open(0, new DeviceOptions(pool, 1, 0))) {
      Optional<DeviceCollectives> collectives = device.collectives();
      if (collectives.isEmpty() && Boolean.getBoolean("lockstep.gpu")) {
        fail("there is no NCCL (set LOCKSTEP_LIBNCCL to its file)");
      }
      return collectives.isEmpty()
          ? abort("judge gpu-nccl: there is no NCCL")
          : Math.max(gpus, collectives.get().place().isEmpty() ? 2 : 1);
    }
  }
}
