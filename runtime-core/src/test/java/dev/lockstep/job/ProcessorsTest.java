package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.memory.Scope;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
final class ProcessorsTest {
  private static final Duration SOON = Duration.ofSeconds(10);

  /// Returns for each rank how many run on its processors, when these are their hosts and lists.
  private static List<Integer> sharers(List<String> hosts, List<String> allowed) {
    int ranks = hosts.size();
    try (Scope scope = new Scope();
        ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      List<CompletableFuture<Integer>> asked = new ArrayList<>();
      for (Job job : Job.inProcess(ranks, JobConfig.fromEnvironment())) {
        Store store = scope.own(job, Job::close).store();
        int rank = job.rank();
        Placement placement = new Placement(rank, ranks, 0, 1, 0, 1, hosts);
        asked.add(
            CompletableFuture.supplyAsync(
                () -> Processors.sharers(store, placement, allowed.get(rank), SOON), threads));
      }
      return asked.stream().map(CompletableFuture::join).toList();
    }
  }

  @Test
  void ranksThatMayRunOnTheSameProcessorsShareThem() {
    assertThat(sharers(List.of("a", "a", "a"), List.of("0-7", "0-7", "0-7")))
        .containsExactly(3, 3, 3);
  }

  @Test
  void ranksBoundToProcessorsOfTheirOwnHaveThemAlone() {
    assertThat(sharers(List.of("a", "a", "a"), List.of("0-3", "4-7", "0-3")))
        .containsExactly(2, 1, 2);
  }

  @Test
  void processorsOfAnotherHostAreOthers() {
    assertThat(sharers(List.of("a", "b", "a"), List.of("0-7", "0-7", "0-7")))
        .containsExactly(2, 1, 2);
  }

  @Test
  void readsTheListAsLinuxWritesIt() {
    assertThat(
            Processors.allowed(
                List.of("Name:\tjava", "Cpus_allowed:\t00ff", "Cpus_allowed_list:\t0-3,6")))
        .isEqualTo("0-3,6");
    assertThat(Processors.allowed(List.of("Name:\tjava"))).isEmpty();
  }

  @Test
  void ranksOfOneJvmShareItsProcessors() {
    int available = Runtime.getRuntime().availableProcessors();
    try (Scope scope = new Scope()) {
      for (Job job : Job.inProcess(2 * available, JobConfig.fromEnvironment())) {
        assertThat(scope.own(job, Job::close).processors()).isEqualTo(1);
      }
    }
    try (Job alone = Job.inProcess(1, JobConfig.fromEnvironment()).getFirst()) {
      assertThat(alone.processors()).isEqualTo(available);
    }
  }
}
