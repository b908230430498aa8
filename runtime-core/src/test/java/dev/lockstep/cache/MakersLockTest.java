package dev.lockstep.cache;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.MachineLoad;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class MakersLockTest {
  @TempDir Path folder;

  private Path file() {
    return folder.resolve("lock");
  }

  @Test
  void oneMakesWhileTheOtherWaitsAndSaysSo() throws Exception {
    CountDownLatch waits = new CountDownLatch(1);
    List<String> order = new CopyOnWriteArrayList<>();
    try (ExecutorService threads = Executors.newSingleThreadExecutor()) {
      Future<?> other;
      try (MakersLock _ = MakersLock.acquire(file(), _ -> order.add("must not wait"))) {
        Callable<Object> second =
            () -> {
              try (MakersLock _ =
                  MakersLock.acquire(
                      file(),
                      waited -> {
                        order.add("waits");
                        assertThat(waited).as(MachineLoad::now).isLessThan(Duration.ofSeconds(10));
                        waits.countDown();
                      })) {
                order.add("second");
              }
              return order;
            };
        other = threads.submit(second);
        waits.await();
        order.add("first");
      }
      other.get();
    }
    assertThat(order).containsExactly("waits", "first", "second");
  }

  @Test
  void whoIsInterruptedWaitsNoLonger() throws Exception {
    try (MakersLock _ = MakersLock.acquire(file(), _ -> {})) {
      Runnable interrupt = Thread.currentThread()::interrupt;
      assertThatThrownBy(() -> MakersLock.acquire(file(), _ -> interrupt.run()))
          .isInstanceOf(InterruptedIOException.class)
          .hasMessageContaining("file=" + file());
      assertThat(Thread.interrupted()).isTrue();
    }
  }

  @Test
  void aFileComesInWholeInThePlaceOfAnother() throws Exception {
    Path file = folder.resolve("a/b/number");
    WholeFile.write(file, new byte[] {1});
    WholeFile.write(file, new byte[] {2, 3});
    assertThat(Files.readAllBytes(file)).containsExactly(2, 3);
    try (var all = Files.list(file.getParent())) {
      assertThat(all).containsExactly(file);
    }
  }

  @Test
  void whatCannotComeInLeavesNothingBehind() throws Exception {
    Path file = folder.resolve("taken");
    Files.createDirectories(file.resolve("inside"));
    assertThatThrownBy(() -> WholeFile.write(file, new byte[1])).isInstanceOf(IOException.class);
    try (var all = Files.list(folder)) {
      assertThat(all).containsExactly(file);
    }
  }
}
