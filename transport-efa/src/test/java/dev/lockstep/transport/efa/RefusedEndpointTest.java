package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.transport.MemoryAddressBook;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
final class RefusedEndpointTest {
  @TempDir private Path directory;

  @Test
  void leavesNoMemoryCharged() {
    LibfabricJudge.require(new OfiTcpProvider());
    long slab = FrameShape.STREAM.offset(FrameSlab.FRAMES);
    try (MemoryPool pool = MemoryPool.root("rank 0", slab * 3 / 2)) {
      TransportContext context =
          TransportHarness.context(0, 1, directory, new MemoryAddressBook(), pool);
      assertThatThrownBy(() -> new OfiTcpProvider().open(context))
          .isInstanceOf(MemoryBudgetException.class);
      assertThat(pool.usedBytes()).isZero();
    }
  }
}
