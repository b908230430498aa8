package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.Promise;
import dev.lockstep.process.Ports;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// `kill -9` of a rank in the middle of a collective: each survivor learns within a second whom it
/// has lost, and gives back all memory that the dead rank could have written.
///
/// Not over `ofi:shm`: a rank that dies while it holds the lock that this provider keeps in shared
/// memory leaves whoever writes to it in native code, spinning, until its launcher ends it, as
/// [KilledRankTest] has it do.
@Timeout(120)
@Tag("long")
class SurvivorsTest {
  private static final int RANKS = 3;
  private static final int VICTIM = 1;

  @TempDir private Path folder;

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"shm", "aeron-ipc", "aeron-udp", "ofi:tcp", "ofi:udp", "ofi:net"})
  void survivorsLearnItInASecondAndKeepNothing(String transport) throws Exception {
    Libfabric.require(transport);
    Promise.keptWithin(Duration.ofSeconds(1), () -> untilAllHaveLearned(transport));
  }

  private Duration untilAllHaveLearned(String transport) throws Exception {
    List<Command> ranks = new ArrayList<>();
    long last = Long.MIN_VALUE;
    try {
      int port = Ports.free();
      for (int rank = 0; rank < RANKS; rank++) {
        ranks.add(
            Command.start(Rendezvous.onOneHost(rank, RANKS, port, folder), program(transport)));
      }
      for (Command rank : ranks) {
        rank.await("it sums", () -> rank.out().stream().anyMatch(line -> line.startsWith("sums")));
      }
      ranks.get(VICTIM).signal("KILL");
      // One clock for all processes of a host, read when the signal is out: starting what sends it
      // may take long.
      long killed = System.nanoTime();
      for (int rank = 0; rank < RANKS; rank++) {
        if (rank != VICTIM) {
          Command survivor = ranks.get(rank);
          var _ = survivor.exitCode();
          assertThat(survivor.printed("lost")).as(survivor.output()).isEqualTo("" + VICTIM);
          last = Math.max(last, Long.parseLong(survivor.printed("learned")) - killed);
          assertThat(survivor.printed("left")).as("bytes").isEqualTo("0");
          assertThat(survivor.output()).doesNotContain("fi_close");
        }
      }
      return Duration.ofNanos(last);
    } finally {
      ranks.forEach(Command::close);
    }
  }

  private static List<String> program(String transport) {
    List<String> program = new ArrayList<>(Command.computingProgram(SummingRank.class.getName()));
    program.add(transport);
    return program;
  }
}
