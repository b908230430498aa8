package dev.lockstep.memory;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import com.sun.management.ThreadMXBean;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.memory.ffi.LibC;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
final class HostMemoryTest {
  private final MemoryPool pool = MemoryPool.root("test", 1L << 30);

  @ParameterizedTest(name = "bytes={0}")
  @ValueSource(longs = {0, 1, 63, 4096, 65_535, 65_536, 1_000_003})
  void privateMemoryIsZeroedAlignedAndCharged(long bytes) {
    try (Buffer buffer = HostMemory.allocate(pool, "w", bytes)) {
      assertThat(buffer.bytes()).isEqualTo(bytes);
      assertThat(buffer.segment().address() % (bytes < 65_536 ? 64 : 4096)).isZero();
      assertThat(isZero(buffer.segment())).isTrue();
      assertThat(pool.usedBytes()).isEqualTo(bytes);
      buffer.segment().fill((byte) 7);
    }
    assertThat(pool.usedBytes()).isZero();
    pool.close();
  }

  @Test
  void peakIsThatSinceItWasReset() {
    MemoryPool child = pool.child("part", 1 << 20);
    HostMemory.allocate(child, "start", 4096).close();
    try (Buffer kept = HostMemory.allocate(child, "kept", 512)) {
      assertThat(child.peakBytes()).isEqualTo(4096);
      child.resetPeak();
      assertThat(child.peakBytes()).isEqualTo(kept.bytes());
      HostMemory.allocate(child, "moment", 1024).close();
      assertThat(child.peakBytes()).isEqualTo(1536);
      assertThat(pool.peakBytes()).isEqualTo(4096);
    }
  }

  @ParameterizedTest(name = "bytes={0}")
  @ValueSource(longs = {0, 1, 4096, 1_000_003})
  void sharedMemoryIsSeenThroughItsPath(long bytes) throws IOException {
    try (Buffer buffer = HostMemory.allocateShared(pool, "w", bytes, null);
        Arena arena = Arena.ofConfined()) {
      assertThat(buffer.segment().address() % 4096).isZero();
      assertThat(isZero(buffer.segment())).isTrue();
      Backing.SharedFile backing = backing(buffer);
      assertThat(backing.path()).startsWith("/proc/" + ProcessHandle.current().pid() + "/fd/");
      MemorySegment peer = mapAgain(backing, bytes, arena);
      buffer.segment().fill((byte) 42);
      assertThat(peer.mismatch(buffer.segment())).isEqualTo(-1);
    }
  }

  @Test
  void memoryFilesAreNotExecutable() throws IOException {
    String[] version = System.getProperty("os.version").split("\\D", 3);
    int kernel = Integer.parseInt(version[0]) * 100 + Integer.parseInt(version[1]);
    assumeThat(kernel).as("from 6.3 on a kernel may demand it").isGreaterThanOrEqualTo(603);
    try (Buffer buffer = HostMemory.allocateShared(pool, "w", 4096, null)) {
      assertThat(Files.getPosixFilePermissions(Path.of(backing(buffer).path())))
          .containsExactlyInAnyOrderElementsOf(PosixFilePermissions.fromString("rw-rw-rw-"));
    }
  }

  @Test
  void aRefusalOfAMemoryFileHasItsNumber() {
    int longerThanNamesMayBe = LibC.memfdCreate("n".repeat(250));
    assertThat(longerThanNamesMayBe).as("EINVAL").isEqualTo(-22);
  }

  @Test
  void peersMappingOutlivesTheOwner() throws IOException {
    try (Arena arena = Arena.ofConfined()) {
      Buffer buffer = HostMemory.allocateShared(pool, "w", 8192, null);
      MemorySegment peer = mapAgain(backing(buffer), 8192, arena);
      buffer.segment().set(JAVA_LONG, 8184, 99);
      buffer.close();
      assertThat(peer.get(JAVA_LONG, 8184)).isEqualTo(99);
    }
  }

  @Test
  void closingFreesTheDescriptor() {
    Buffer buffer = HostMemory.allocateShared(pool, "w", 8192, null);
    Path path = Path.of(backing(buffer).path());
    assertThat(Files.exists(path)).isTrue();
    buffer.close();
    assertThat(Files.exists(path)).isFalse();
  }

  @Test
  void sharedFileInDirectoryIsRemovedAtClose(@TempDir Path directory) throws IOException {
    Buffer buffer = HostMemory.allocateSharedIn(directory, pool, "w", 10_000);
    Path path = Path.of(backing(buffer).path());
    assertThat(path).hasParentRaw(directory);
    assertThat(Files.getPosixFilePermissions(path)).hasSize(2);
    buffer.close();
    try (Stream<Path> left = Files.list(directory)) {
      assertThat(left).isEmpty();
    }
  }

  @Test
  void anInterruptedThreadSharesMemoryAndStaysInterrupted(@TempDir Path directory) {
    Thread.currentThread().interrupt();
    try (Buffer buffer = HostMemory.allocateShared(pool, "w", 8192, null);
        Buffer file = HostMemory.allocateSharedIn(directory, pool, "v", 8192)) {
      assertThat(buffer.segment().mismatch(file.segment())).isEqualTo(-1);
    } finally {
      assertThat(Thread.interrupted()).isTrue();
    }
  }

  @Test
  void exhaustedHostNamesTensorAndBytes(@TempDir Path directory) {
    MemoryPool unlimited = MemoryPool.root("unlimited", Long.MAX_VALUE);
    assertThatThrownBy(() -> HostMemory.allocateShared(unlimited, "wte", 1L << 60, null))
        .isInstanceOfSatisfying(
            MemoryBudgetException.class,
            failure -> {
              assertThat(failure.tensor()).isEqualTo("wte");
              assertThat(failure.requestedBytes()).isEqualTo(1L << 60);
            })
        .hasMessageContaining("tensor=wte, requestedBytes=");
    assertThatThrownBy(() -> HostMemory.allocateSharedIn(directory, unlimited, "wpe", 1L << 60))
        .isInstanceOf(MemoryBudgetException.class)
        .hasMessageContaining("tensor=wpe, requestedBytes=")
        .hasMessageContaining("" + directory);
    assertThat(directory).isEmptyDirectory();
    assertThat(unlimited.usedBytes()).isZero();
  }

  @Test
  void budgetIsCheckedBeforeAnythingIsAllocated() {
    assertThatThrownBy(() -> HostMemory.allocate(pool, "huge", 1L << 50))
        .isInstanceOf(MemoryBudgetException.class)
        .hasMessageContaining("tensor=huge");
    assertThatThrownBy(() -> HostMemory.allocateShared(pool, "huge", 1L << 50, null))
        .isInstanceOf(MemoryBudgetException.class)
        .hasMessageContaining("memory budget exceeded");
    assertThat(pool.usedBytes()).isZero();
  }

  @Test
  void poolTellsWhatHoldsItsMemory() {
    try (MemoryPool child = pool.child("child", 1 << 20)) {
      Buffer first = HostMemory.allocate(pool, "moments", 64);
      Buffer second = HostMemory.allocate(pool, "moments", 128);
      Buffer other = HostMemory.allocate(pool, "gradients", 256);
      Buffer below = HostMemory.allocate(child, "gradients", 512);
      long bytes = first.bytes() + second.bytes();
      assertThat(pool.usedBytesByName())
          .containsExactly(Map.entry("gradients", other.bytes()), Map.entry("moments", bytes));
      assertThat(child.usedBytesByName()).containsExactly(Map.entry("gradients", below.bytes()));
      first.close();
      other.close();
      assertThat(pool.usedBytesByName()).containsExactly(Map.entry("moments", second.bytes()));
      second.close();
      below.close();
    }
  }

  @Test
  void exhaustedProcessIsATypedError() {
    MemoryPool unlimited = MemoryPool.root("unlimited", Long.MAX_VALUE);
    assertThatThrownBy(() -> HostMemory.allocate(unlimited, "huge", 1L << 60))
        .isInstanceOf(MemoryBudgetException.class)
        .hasMessageContaining("tensor=huge, requestedBytes=" + (1L << 60));
    assertThat(unlimited.usedBytes()).isZero();
  }

  @Test
  void leaseForbidsClosing() {
    Buffer buffer = HostMemory.allocate(pool, "w", 64);
    buffer.acquire();
    buffer.acquire();
    buffer.release();
    assertThatThrownBy(buffer::close)
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("buffer is in use: name=w, leases=1");
    assertThat(buffer.isClosed()).isFalse();
    buffer.segment().set(JAVA_BYTE, 0, (byte) 1);
    buffer.release();
    buffer.close();
    assertThatThrownBy(buffer::release).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void closedBufferThrowsAndClosesAgainQuietly() {
    Buffer buffer = HostMemory.allocate(pool, "w", 64);
    MemorySegment borrowed = buffer.segment();
    buffer.close();
    buffer.close();
    assertThat(buffer.isClosed()).isTrue();
    assertThatThrownBy(buffer::segment)
        .isInstanceOf(IllegalStateException.class)
        .hasMessage("buffer is closed: name=w");
    assertThatThrownBy(buffer::acquire).hasMessage("buffer is closed: name=w");
    assertThatThrownBy(() -> buffer.registration().segment())
        .hasMessage("buffer is closed: name=w");
    assertThatThrownBy(() -> borrowed.get(JAVA_BYTE, 0)).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void quarantinedMemoryOutlivesClose() {
    Buffer buffer = HostMemory.allocate(pool, "w", 64);
    MemorySegment borrowed = buffer.segment();
    Region region = buffer.registration().region();
    region.quarantine();
    region.quarantine();
    buffer.close();
    assertThat(buffer.isClosed()).isTrue();
    borrowed.set(JAVA_BYTE, 63, (byte) 1);
    assertThat(pool.usedBytes()).isEqualTo(64);
    region.liftQuarantine();
    assertThat(pool.usedBytes()).isEqualTo(64);
    region.liftQuarantine();
    assertThat(pool.usedBytes()).isZero();
    assertThatThrownBy(() -> borrowed.get(JAVA_BYTE, 0)).isInstanceOf(IllegalStateException.class);
    assertThatThrownBy(region::quarantine).hasMessage("buffer is closed: name=w");
    assertThatThrownBy(region::liftQuarantine).isInstanceOf(IllegalStateException.class);
  }

  @Test
  @SuppressWarnings("MustBeClosedChecker") // the buffer frees it
  void wrappedMemoryIsTheCallersAndFreedOnceNobodyTouchesIt() {
    Arena arena = Arena.ofShared();
    AtomicInteger frees = new AtomicInteger();
    MemorySegment mine = arena.allocate(64, 8);
    Runnable free =
        () -> {
          frees.incrementAndGet();
          arena.close();
        };
    Buffer buffer = HostMemory.wrap("mine", mine, free);
    assertThat(buffer.bytes()).isEqualTo(64);
    buffer.registration().segment().set(JAVA_LONG, 56, 99);
    assertThat(mine.get(JAVA_LONG, 56)).isEqualTo(99);
    buffer.acquire();
    assertThatThrownBy(buffer::close).hasMessageContaining("buffer is in use: name=mine, leases=1");
    buffer.release();
    Region region = buffer.registration().region();
    region.quarantine();
    buffer.close();
    assertThatThrownBy(buffer::segment).hasMessage("buffer is closed: name=mine");
    assertThat(frees).hasValue(0);
    region.liftQuarantine();
    buffer.close();
    assertThat(frees).hasValue(1);
  }

  @Test
  void mappedMemoryThatIsWrappedIsOfTheClassOfAllMemory(@TempDir Path folder) throws IOException {
    Path file = Files.write(folder.resolve("file"), new byte[4096]);
    try (FileChannel channel =
            FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
        Arena arena = Arena.ofShared()) {
      MemorySegment mapped = channel.map(MapMode.READ_WRITE, 0, 4096, arena);
      try (Buffer buffer = HostMemory.wrap("mapped", mapped, () -> {});
          Buffer allocated = HostMemory.allocate(pool, "w", 64)) {
        assertThat(buffer.segment()).hasSameClassAs(allocated.segment());
        buffer.segment().set(JAVA_BYTE, 4095, (byte) 7);
        assertThat(mapped.get(JAVA_BYTE, 4095)).isEqualTo((byte) 7);
      }
    }
  }

  @Test
  void memoryThatWasFreedTooEarlyIsNotTouched() {
    Buffer buffer;
    try (Arena arena = Arena.ofShared()) {
      buffer = HostMemory.wrap("mine", arena.allocate(64, 8), () -> {});
    }
    assertThatThrownBy(buffer::segment)
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("was freed before the buffer was closed: name=mine");
    buffer.close();
  }

  private static void isRefused(MemorySegment segment, String reason) {
    assertThatThrownBy(() -> HostMemory.wrap("mine", segment, () -> {}))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("memory cannot be wrapped: name=mine, bytes=" + segment.byteSize())
        .hasMessageContaining(reason);
  }

  @Test
  void memoryThatCollectivesCannotUseIsNotWrapped() {
    isRefused(MemorySegment.ofArray(new long[8]), "it is on the heap");
    MemorySegment memory;
    try (Arena one = Arena.ofConfined();
        Arena all = Arena.ofShared()) {
      isRefused(one.allocate(64, 8), "one thread alone may use it");
      memory = all.allocate(64, 8);
      isRefused(memory.asReadOnly(), "it is read only");
      isRefused(memory.asSlice(4), "it starts at no multiple of 8 bytes");
    }
    isRefused(memory, "it is freed");
  }

  @Test
  void leasesAllocateNothing() {
    var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    try (Buffer buffer = HostMemory.allocate(pool, "w", 64)) {
      long before = 0;
      for (int i = 0; i < 200_000; i++) {
        if (i == 100_000) {
          before = threads.getCurrentThreadAllocatedBytes();
        }
        buffer.acquire();
        buffer.segment().set(JAVA_LONG, 0, i);
        buffer.release();
      }
      assertThat(threads.getCurrentThreadAllocatedBytes() - before).isLessThan(1000);
    }
  }

  @Test
  void forgottenBufferIsReportedWithItsName() {
    MemoryPool tracking = MemoryPool.tracking("tracking", 1L << 20);
    forget(tracking);
    Deadline.until(
        () -> {
          System.gc();
          return !tracking.leakReports().isEmpty();
        });
    assertThat(tracking.leakReports())
        .singleElement()
        .isEqualTo("buffer leaked: name=lost, bytes=4096 (close it when done)");
    HostMemory.allocate(tracking, "kept", 64).close();
    assertThat(tracking.leakReports()).hasSize(1);
    assertThat(tracking.usedBytes()).as("a diagnosis frees nothing").isEqualTo(4096);
    assertThatThrownBy(tracking::close)
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("lost: bytes=4096, count=1");
  }

  @Test
  void aClosedBufferWhoseFileStaysIsNotForgotten(@TempDir Path directory) throws IOException {
    MemoryPool tracking = MemoryPool.tracking("tracking", 1L << 20);
    closeInVain(directory, tracking);
    forget(tracking);
    Deadline.until(
        () -> {
          System.gc();
          return !tracking.leakReports().isEmpty();
        });
    assertThat(tracking.leakReports()).singleElement().asString().contains("name=lost");
    assertThat(tracking.usedBytes()).isEqualTo(4096);
  }

  private static void closeInVain(Path directory, MemoryPool pool) throws IOException {
    Buffer buffer = HostMemory.allocateSharedIn(directory, pool, "w", 64);
    Path file = Path.of(backing(buffer).path());
    Files.delete(file);
    Files.createFile(Files.createDirectory(file).resolve("stranger"));
    assertThatThrownBy(buffer::close)
        .isInstanceOf(UncheckedIOException.class)
        .hasMessageContaining("shared memory cannot be removed");
    assertThat(buffer.isClosed()).isTrue();
  }

  private static void forget(MemoryPool pool) {
    Buffer lost = HostMemory.allocateShared(pool, "lost", 4096, null);
    lost.segment().fill((byte) 1);
  }

  private static Backing.SharedFile backing(Buffer buffer) {
    return (Backing.SharedFile) buffer.registration().region().backing();
  }

  private static MemorySegment mapAgain(Backing.SharedFile backing, long bytes, Arena arena)
      throws IOException {
    try (FileChannel channel = FileChannel.open(Path.of(backing.path()), StandardOpenOption.READ)) {
      return channel.map(MapMode.READ_ONLY, backing.fileOffset(), bytes, arena);
    }
  }

  private static boolean isZero(MemorySegment segment) {
    for (long i = 0; i < segment.byteSize(); i++) {
      if (segment.get(JAVA_BYTE, i) != 0) {
        return false;
      }
    }
    return true;
  }
}
