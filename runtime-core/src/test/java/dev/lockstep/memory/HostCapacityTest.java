package dev.lockstep.memory;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class HostCapacityTest {
  @TempDir private Path root;

  @Test
  void kernelsFigureCountsWithoutControlGroup() throws IOException {
    write("proc/meminfo", "MemTotal:  100 kB\nMemAvailable:    70 kB\n");
    assertThat(HostCapacity.under(root).availableBytes()).isEqualTo(70 * 1024);
  }

  @Test
  void tightestGroupOnTheWayCountsAndCacheIsFree() throws IOException {
    write("proc/meminfo", "MemAvailable: 1000000 kB\n");
    write("proc/self/cgroup", "0::/job/rank\n");
    write("sys/fs/cgroup/job/memory.max", "10000\n");
    write("sys/fs/cgroup/job/memory.current", "4000\n");
    write("sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 500\n");
    write("sys/fs/cgroup/job/rank/memory.max", "max\n");
    assertThat(HostCapacity.under(root).availableBytes()).isEqualTo(6500);
  }

  @Test
  void olderControlGroupsAreRead() throws IOException {
    write("proc/self/cgroup", "9:name=systemd:/\n4:memory:/docker/abc\n0::/\n");
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9000\n");
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n");
    assertThat(HostCapacity.under(root).availableBytes()).isEqualTo(8000);
  }

  @Test
  void nothingKnownMeansNoLimit() {
    assertThat(HostCapacity.under(root).availableBytes()).isEqualTo(Long.MAX_VALUE);
    assertThat(HostCapacity.ofThisHost().availableBytes()).isBetween(1L << 20, 1L << 50);
  }

  private void write(String file, String text) throws IOException {
    Path path = root.resolve(file);
    Files.createDirectories(path.getParent());
    Files.writeString(path, text);
  }
}
