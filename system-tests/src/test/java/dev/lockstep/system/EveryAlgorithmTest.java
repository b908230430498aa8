package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.system.EveryAlgorithm.Result;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/// Every collective by every algorithm over every transport gives what the chosen one gives between
/// threads that share memory. Over EFA that is a stand-in that keeps its rules: two cards for each
/// rank, completions in no order, nothing moves unless it is polled.
@Timeout(240)
class EveryAlgorithmTest {
  /// Short enough for one frame of any transport, for several, and for segments of libfabric's.
  private final EveryAlgorithm collectives = new EveryAlgorithm(3, 5000, 70_001);

  /// Returns how many algorithms were run, over all collectives.
  private int givesTheSame(String transport, int ranks) throws Exception {
    Libfabric.require(transport);
    List<List<Result>> wanted = collectives.inThreads("in-process", ranks, false);
    List<List<Result>> found = collectives.inThreads(transport, ranks, true);
    EveryAlgorithm.requireSame(found, wanted);
    return found.stream().mapToInt(List::size).sum();
  }

  @ParameterizedTest(name = "{0}, P={1}")
  @CsvSource({"shm, 3", "aeron-udp, 2", "ofi:tcp, 3"})
  void givesWhatTheChosenOneGivesBetweenThreads(String transport, int ranks) throws Exception {
    assertThat(givesTheSame(transport, ranks)).isGreaterThan(300);
  }

  @ParameterizedTest(name = "{0}, P={1}")
  @MethodSource("allTransports")
  @Tag("long")
  void givesWhatTheChosenOneGivesOverAllTransports(String transport, int ranks) throws Exception {
    assertThat(givesTheSame(transport, ranks)).isGreaterThan(200);
  }

  static Stream<Arguments> allTransports() {
    return Stream.of(
            "shm",
            "aeron-ipc",
            "aeron-udp",
            "ofi:tcp",
            "ofi:shm",
            "ofi:udp",
            "ofi:net",
            "stand-in-efa",
            "stand-in-efa-direct")
        .flatMap(
            transport ->
                IntStream.rangeClosed(2, 5).mapToObj(ranks -> Arguments.of(transport, ranks)));
  }
}
