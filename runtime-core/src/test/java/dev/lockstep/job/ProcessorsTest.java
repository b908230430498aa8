package dev.lockstep.job;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.memory.Scope;
import dev.lockstep.process.JavaCommand;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(20)
final class ProcessorsTest {
  private static final Duration SOON = Duration.ofSeconds(10);

  /// A rank that says whether it can have a processor to itself.
  static final class Rank {
    private Rank() {}

    public static void main(String[] args) {
      Job.run(
          job ->
              System.out.println(
                  "processors=%d, own=%b".formatted(job.processors(), job.mayHaveProcessor(2))));
    }
  }

  @TempDir private Path temp;
  private final List<Process> processes = new ArrayList<>();

  @AfterEach
  void end() {
    processes.forEach(Process::destroyForcibly);
  }

  /// Returns what ranks say that are bound to these processors.
  private List<String> said(List<String> processors, String... options) throws IOException {
    try (StoreServer server =
        StoreServer.start("127.0.0.1", 0, Ranks.TOKEN.getBytes(UTF_8), 2, Duration.ofSeconds(5))) {
      for (int rank = 0; rank < 2; rank++) {
        List<String> command = new ArrayList<>(List.of("taskset", "-c", processors.get(rank)));
        command.addAll(
            JavaCommand.of(
                Stream.concat(
                        Stream.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
                        Stream.of(options))
                    .toList(),
                Rank.class.getName(),
                List.of()));
        ProcessBuilder builder = new ProcessBuilder(command);
        builder.environment().putAll(Ranks.ofAgent(temp, server.port(), rank, 2));
        builder.redirectError(ProcessBuilder.Redirect.INHERIT);
        processes.add(builder.start());
      }
      List<String> said = new ArrayList<>();
      for (Process process : processes) {
        said.add(new String(process.getInputStream().readAllBytes(), UTF_8).strip());
      }
      return said;
    }
  }

  private static void requireTwoProcessors() {
    assumeTrue(
        Processors.allowed().matches("0[-,]1.*")
            && Path.of("/usr/bin/taskset").toFile().canExecute(),
        "processors 0 and 1, or taskset, are not to be had: allowed=" + Processors.allowed());
  }

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
  void ranksWhoseProcessorsAreSomeTheSameShareThose() {
    assertThat(sharers(List.of("a", "a", "a"), List.of("0-3", "2-5", "5,7")))
        .containsExactly(2, 2, 2);
    assertThat(sharers(List.of("a", "a", "a"), List.of("0-2", "0", "1"))).containsExactly(2, 2, 2);
    assertThat(sharers(List.of("a", "a", "a"), List.of("0", "1-2", "2,4")))
        .containsExactly(1, 2, 2);
  }

  @Test
  void whereAListSaysNothingItsRankMayRunOnAnyProcessor() {
    assertThat(sharers(List.of("a", "a", "a"), List.of("0-3", "", "4-7"))).containsExactly(2, 3, 2);
    assertThat(sharers(List.of("a", "a"), List.of("3-1", "0-99999999"))).containsExactly(2, 2);
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
  void whoIsBoundHasNoMoreProcessorsThanThoseWhateverTheVirtualMachineIsTold() {
    assertThat(Processors.suffice(2, 2, List.of(1))).isFalse();
    assertThat(Processors.suffice(2, 1, List.of(0, 1))).isFalse();
    assertThat(Processors.suffice(2, 2, List.of(0, 1))).isTrue();
    assertThat(Processors.suffice(1, 8, List.of(5))).isTrue();
    assertThat(Processors.suffice(2, 2, List.of())).isTrue();
  }

  @Test
  void ranksOfOneJvmShareItsProcessors() {
    int available = Runtime.getRuntime().availableProcessors();
    try (Scope scope = new Scope()) {
      for (Job each : Job.inProcess(2 * available, JobConfig.fromEnvironment())) {
        Job job = scope.own(each, Job::close);
        assertThat(job.processors()).isEqualTo(1);
        assertThat(job.mayHaveProcessor(2 * available)).isFalse();
        assertThat(job.mayHaveProcessor(available)).isTrue();
      }
    }
    try (Job alone = Job.inProcess(1, JobConfig.fromEnvironment()).getFirst()) {
      assertThat(alone.processors()).isEqualTo(available);
    }
  }

  @Test
  @Tag("long")
  void eachHasItsProcessorToItselfThoughItSeesFewerThanThereAreRanks() throws Exception {
    requireTwoProcessors();
    assertThat(said(List.of("0", "1"))).containsOnly("processors=1, own=true");
  }

  @Test
  @Tag("long")
  void whereBothAreBoundToOneNeitherHas() throws Exception {
    requireTwoProcessors();
    assertThat(said(List.of("0", "0"), "-XX:ActiveProcessorCount=2"))
        .containsOnly("processors=1, own=false");
  }
}
