package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.process.Ports;
import dev.lockstep.system.EveryAlgorithm.Result;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Every collective by every algorithm between processes of one host gives what the chosen one
/// gives between threads that share memory. Processes that meet over `ofi:shm` map each other's
/// files and read each other's memory by a system call; threads of one process do not.
@Timeout(120)
@Tag("long")
class AlgorithmsBetweenProcessesTest {
  /// Short enough for one frame of any transport, for several, and for segments of libfabric's.
  private static final long[] SIZES = {3, 5000, 70_001};

  @TempDir private Path folder;

  @ParameterizedTest(name = "{0}, P={1}")
  @CsvSource({"ofi:shm, 2", "ofi:shm, 3"})
  void processesGiveWhatThreadsGive(String transport, int ranks) throws Exception {
    Libfabric.require(transport);
    List<List<Result>> wanted = new EveryAlgorithm(SIZES).inThreads("in-process", ranks, false);
    int port = Ports.free();
    List<Command> started = new ArrayList<>();
    try {
      for (int rank = 0; rank < ranks; rank++) {
        started.add(
            Command.start(
                Rendezvous.onOneHost(rank, ranks, port, folder),
                AlgorithmRank.program(transport, SIZES)));
      }
      List<List<Result>> found = AlgorithmRank.results(started);
      EveryAlgorithm.requireSame(found, wanted);
      assertThat(found)
          .extracting(List::size)
          .allSatisfy(results -> assertThat(results).isGreaterThan(150));
    } finally {
      started.forEach(Command::close);
    }
  }
}
