package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(20)
final class CoreSharesTest {
  @TempDir private Path system;

  private void siblings(int processor, String list) throws IOException {
    Path folder = Files.createDirectories(system.resolve("cpu" + processor + "/topology"));
    Files.writeString(folder.resolve("thread_siblings_list"), list + "\n");
  }

  @Test
  void keepsTheThreadsOfACoreTogether() throws IOException {
    for (int core = 0; core < 4; core++) {
      siblings(core, core + "," + (core + 4));
      siblings(core + 4, core + "," + (core + 4));
    }
    List<List<Integer>> cores = CoreShares.cores(IntStream.range(0, 8).boxed().toList(), system);
    assertThat(cores).containsExactly(List.of(0, 4), List.of(1, 5), List.of(2, 6), List.of(3, 7));
    assertThat(CoreShares.share(cores, 0, 2)).containsExactly(0, 4, 1, 5);
    assertThat(CoreShares.share(cores, 1, 2)).containsExactly(2, 6, 3, 7);
  }

  @Test
  void countsOnlyProcessorsThatThisProcessMayRunOn() throws IOException {
    for (int processor = 0; processor < 4; processor++) {
      siblings(processor, processor < 2 ? "0-1" : "2-3");
    }
    assertThat(CoreShares.cores(List.of(1, 2, 3), system))
        .containsExactly(List.of(1), List.of(2, 3));
  }

  @Test
  void passesOverProcessorsThatAreNotThere() throws IOException {
    Files.writeString(system.resolve("online"), "0-1,3\n");
    assertThat(CoreShares.online(List.of(0, 1, 2, 3, 4), system)).containsExactly(0, 1, 3);
  }

  @Test
  void takesAProcessorThatTheSystemDoesNotDescribeForACore() {
    assertThat(CoreShares.cores(List.of(3, 5), system)).containsExactly(List.of(3), List.of(5));
  }

  @Test
  void dealsEveryCoreToOneRankAndSomeToEach() {
    for (int count = 1; count <= 9; count++) {
      List<List<Integer>> cores =
          IntStream.range(0, count).mapToObj(processor -> List.of(processor)).toList();
      for (int ranks = 1; ranks <= count; ranks++) {
        int all = ranks;
        List<List<Integer>> shares =
            IntStream.range(0, ranks).mapToObj(rank -> CoreShares.share(cores, rank, all)).toList();
        assertThat(shares).as("cores=%d, ranks=%d", count, ranks).doesNotContain(List.of());
        assertThat(shares.stream().flatMap(List::stream))
            .containsExactlyElementsOf(IntStream.range(0, count).boxed().toList());
      }
    }
  }
}
