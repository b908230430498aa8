package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.process.Ports;
import dev.lockstep.system.EveryAlgorithm.Result;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Jobs whose hosts run several ranks each: two hosts, which are two launchers' on one machine.
@Timeout(180)
@Tag("long")
class HostwiseTest {
  /// Short enough for one frame of any transport, and for several.
  private static final long[] SIZES = {3, 9001};

  private static final int HOSTS = 2;

  @TempDir private Path folder;

  @Test
  void everyAlgorithmGivesTheSameOverBothTransports() throws Exception {
    int ranks = 4;
    EveryAlgorithm collectives = new EveryAlgorithm(SIZES);
    List<List<Result>> wanted = collectives.inThreads("in-process", ranks, false);
    List<Command> started = new ArrayList<>();
    try {
      String port = "" + Ports.free();
      String token = Rendezvous.token(folder).toString();
      for (int rank = 0; rank < ranks; rank++) {
        started.add(Command.start(environment(rank, ranks, port, token), program()));
      }
      List<List<Result>> found = AlgorithmRank.results(started);
      for (Command rank : started) {
        assertThat(rank.printed("transport")).isEqualTo("shm+aeron-udp");
        assertThat(rank.printed("levels")).isEqualTo("[2]");
        assertThat(rank.printed("all share memory")).isEqualTo("false");
        assertThat(rank.printed("host shares memory")).isEqualTo("true");
        assertThat(rank.printed("near links are known")).isEqualTo("true");
      }
      EveryAlgorithm.requireSame(found, wanted);
      assertThat(found)
          .allSatisfy(
              results ->
                  assertThat(results)
                      .extracting(Result::algorithm)
                      .contains("hierarchical-all-reduce", "hierarchical-doubling-all-reduce"));
    } finally {
      started.forEach(Command::close);
    }
  }

  private static Map<String, String> environment(int rank, int ranks, String port, String token) {
    int each = ranks / HOSTS;
    return Map.ofEntries(
        Map.entry("RANK", "" + rank),
        Map.entry("WORLD_SIZE", "" + ranks),
        Map.entry("LOCAL_RANK", "" + rank % each),
        Map.entry("LOCAL_WORLD_SIZE", "" + each),
        Map.entry("GROUP_RANK", "" + rank / each),
        Map.entry("GROUP_WORLD_SIZE", "" + HOSTS),
        Map.entry("MASTER_ADDR", "127.0.0.1"),
        Map.entry("MASTER_PORT", port),
        Map.entry("LOCKSTEP_STORE_PORT", port),
        Map.entry("LOCKSTEP_JOB_TOKEN_FILE", token));
  }

  private static List<String> program() {
    List<String> program = new ArrayList<>(Command.computingProgram(HostwiseRank.class.getName()));
    LongStream.of(SIZES).forEach(size -> program.add("" + size));
    return program;
  }

  @Test
  void trainingOnTwoHostsOfTwoRanksEndsInTheSameBits() throws Exception {
    TinyJob job = new TinyJob(folder);
    String port = "" + Ports.free();
    Map<String, String> environment =
        Map.of("LOCKSTEP_JOB_TOKEN_FILE", Rendezvous.token(folder).toString());
    String[] mesh = job.gpt("hosts", "--steps=6", "--threads=1", "--mesh=dp=2,tp=2");
    try (Command alone =
            Command.lockstep(TinyJob.with(List.of("run"), job.gpt("alone", "--steps=6")));
        Command first = Command.start(environment, launch(0, port, mesh));
        Command second = Command.start(environment, launch(1, port, mesh))) {
      assertThat(first.done().printed("weights sha256"))
          .isEqualTo(alone.done().printed("weights sha256"));
      second.done();
      assertThat(first.printed("4 ranks")).contains("over shm+aeron-udp");
    }
  }

  private static List<String> launch(int node, String port, String[] job) {
    List<String> launch =
        List.of(
            "run",
            "--nproc-per-node=2",
            "--nnodes=2",
            "--node-rank=" + node,
            "--rdzv-endpoint=127.0.0.1:" + port);
    return Command.lockstepProgram(TinyJob.with(launch, job));
  }
}
