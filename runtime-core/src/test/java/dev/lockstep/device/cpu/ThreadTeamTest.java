package dev.lockstep.device.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(30)
class ThreadTeamTest {
  @ParameterizedTest(name = "threads={0}, tiles={1}")
  @CsvSource({"1, 10", "2, 0", "2, 1", "2, 7", "3, 2", "3, 100", "8, 64"})
  void everyTileIsDoneOnce(int threads, int tiles) {
    try (ThreadTeam team = new ThreadTeam("test", threads)) {
      for (int round = 0; round < 200; round++) {
        var done = new AtomicIntegerArray(tiles + 1);
        team.run(
            (_, from, to) -> {
              for (int i = from; i < to; i++) {
                done.incrementAndGet(i);
              }
            },
            tiles);
        for (int i = 0; i < tiles; i++) {
          assertThat(done.get(i)).isEqualTo(1);
        }
      }
    }
  }

  @Test
  void allThreadsWork() {
    try (ThreadTeam team = new ThreadTeam("test", 3)) {
      team.run((_, _, _) -> {}, 30);
      assertThat(team.tilesDone(0)).isEqualTo(10);
      assertThat(team.tilesDone(1)).isEqualTo(10);
      assertThat(team.tilesDone(2)).isEqualTo(10);
    }
  }

  @Test
  void whatAWorkerThrowsReachesTheCaller() {
    try (ThreadTeam team = new ThreadTeam("test", 2)) {
      ThreadTeam.Task failing =
          (worker, _, _) -> {
            if (worker == 1) {
              throw new IndexOutOfBoundsException("id lies outside");
            }
          };
      assertThatThrownBy(() -> team.run(failing, 2))
          .isInstanceOf(IndexOutOfBoundsException.class)
          .hasMessage("id lies outside");
      team.run((_, _, _) -> {}, 2);
    }
  }

  @Test
  void threadsHaveNamesAndEndWithTheTeam() {
    ThreadTeam team = new ThreadTeam("named", 2);
    assertThat(named()).isEqualTo(1);
    team.close();
    team.close();
    assertThat(named()).isZero();
    assertThatThrownBy(() -> team.run((_, _, _) -> {}, 2))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("closed");
  }

  private static long named() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().equals("lockstep-cpu-named-1"))
        .count();
  }

  @Test
  void aRunAllocatesNothing() {
    var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    try (ThreadTeam team = new ThreadTeam("test", 2)) {
      ThreadTeam.Task task = (_, _, _) -> {};
      long allocated = Long.MAX_VALUE;
      for (int round = 0; round < 50 && allocated != 0; round++) {
        long before = threads.getCurrentThreadAllocatedBytes();
        run(team, task, 10_000);
        allocated = threads.getCurrentThreadAllocatedBytes() - before;
      }
      assertThat(allocated).isZero();
    }
  }

  private static void run(ThreadTeam team, ThreadTeam.Task task, int times) {
    for (int i = 0; i < times; i++) {
      team.run(task, 2);
    }
  }
}
