package dev.lockstep.transport.shm;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.stream.Stream;
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

  /// Loops that join are compiled for one class of segments only.
  @Test
  void sharedMemoryIsOfTheClassThatAllocatedMemoryIs() {
    TransportContext context = TransportHarness.contexts(1, directory).getFirst();
    ShmNeighbors neighbors = new ShmNeighbors(context);
    try (Buffer own = HostMemory.allocate(context.memory(), "own", 4096);
        Buffer memory = HostMemory.allocateShared(context.memory(), "memory", 4096, directory);
        Buffer file = HostMemory.allocateSharedIn(directory, context.memory(), "file", 4096)) {
      byte[] descriptor = neighbors.describe(memory.registration());
      MemorySegment read = neighbors.open(0, descriptor);
      MemorySegment written = neighbors.openToWrite(0, descriptor);
      assertThat(Stream.of(memory.segment(), file.segment(), read, written))
          .allMatch(segment -> segment.getClass() == own.segment().getClass());
      assertThat(read.isReadOnly()).isTrue();
      written.set(JAVA_BYTE, 4095, (byte) 7);
      assertThat(read.get(JAVA_BYTE, 4095)).isEqualTo((byte) 7);
      assertThatThrownBy(() -> written.set(JAVA_BYTE, 4096, (byte) 7))
          .isInstanceOf(IndexOutOfBoundsException.class);
      neighbors.close();
      assertThatThrownBy(() -> read.get(JAVA_BYTE, 0)).isInstanceOf(IllegalStateException.class);
    } finally {
      neighbors.close();
    }
  }
}
