package dev.lockstep.transport.shm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(20)
final class ShmNeighborsTest {
  @TempDir private Path directory;

  @Test
  void onlyWhatCouldBeMappedIsKeptUntilItIsForgotten() {
    TransportContext context = TransportHarness.contexts(1, directory).getFirst();
    ShmNeighbors neighbors = new ShmNeighbors(context);
    try (Buffer kept = HostMemory.allocateShared(context.memory(), "kept", 4096, directory)) {
      byte[] gone;
      try (Buffer closed = HostMemory.allocateShared(context.memory(), "gone", 4096, directory)) {
        gone = neighbors.describe(closed.registration());
      }
      assertThatThrownBy(() -> neighbors.open(0, gone)).isInstanceOf(TransportException.class);
      assertThat(neighbors.mappedRegions()).isZero();
      byte[] there = neighbors.describe(kept.registration());
      var _ = neighbors.open(0, there);
      var _ = neighbors.openToWrite(0, there);
      assertThat(neighbors.mappedRegions()).isEqualTo(1);
      neighbors.forget(0, there);
      assertThat(neighbors.mappedRegions()).isEqualTo(1);
      neighbors.forget(0, there);
      assertThat(neighbors.mappedRegions()).isZero();
    } finally {
      neighbors.close();
    }
  }

  @Test
  void anInterruptedThreadMapsPeersMemoryAndStaysInterrupted() {
    TransportContext context = TransportHarness.contexts(1, directory).getFirst();
    ShmNeighbors neighbors = new ShmNeighbors(context);
    try (Buffer theirs = HostMemory.allocateShared(context.memory(), "theirs", 4096, directory)) {
      theirs.segment().fill((byte) 7);
      byte[] descriptor = neighbors.describe(theirs.registration());
      Thread.currentThread().interrupt();
      assertThat(neighbors.open(0, descriptor).mismatch(theirs.segment())).isEqualTo(-1);
      assertThat(Thread.interrupted()).isTrue();
    } finally {
      neighbors.close();
    }
  }
}
