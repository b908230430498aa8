package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.system.EveryAlgorithm.Form;
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

  private final EveryAlgorithm few = new EveryAlgorithm(7, 5000);

  /// Returns how many algorithms were run, over all collectives.
  private static int givesTheSame(
      EveryAlgorithm collectives, Form form, String transport, int ranks) throws Exception {
    Libfabric.require(transport);
    List<List<Result>> wanted = collectives.inThreads("in-process", ranks, false);
    List<List<Result>> found = collectives.in(form).inThreads(transport, ranks, true);
    EveryAlgorithm.requireSame(found, wanted);
    return found.stream().mapToInt(List::size).sum();
  }

  @ParameterizedTest(name = "{0}, P={1}")
  @CsvSource({"shm, 3", "aeron-udp, 2", "ofi:tcp, 3"})
  void givesWhatTheChosenOneGivesBetweenThreads(String transport, int ranks) throws Exception {
    assertThat(givesTheSame(collectives, Form.APART, transport, ranks)).isGreaterThan(300);
  }

  @ParameterizedTest(name = "{0}, P={1}, {2}")
  @CsvSource({"shm, 3, IN_PLACE", "shm, 3, OF_LANES"})
  void givesItInPlaceAndFromLanesToo(String transport, int ranks, Form form) throws Exception {
    assertThat(givesTheSame(few, form, transport, ranks)).isGreaterThan(150);
  }

  @ParameterizedTest(name = "{0}, P={1}")
  @MethodSource("allTransports")
  @Tag("long")
  void givesWhatTheChosenOneGivesOverAllTransports(String transport, int ranks) throws Exception {
    assertThat(givesTheSame(collectives, Form.APART, transport, ranks)).isGreaterThan(200);
  }

  @ParameterizedTest(name = "{0}, P={1}, {2}")
  @MethodSource("allForms")
  @Tag("long")
  void givesItInPlaceAndFromLanesOverAllTransports(String transport, int ranks, Form form)
      throws Exception {
    assertThat(givesTheSame(few, form, transport, ranks)).isGreaterThan(100);
  }

  private static Stream<String> transports() {
    return Stream.of("shm", "aeron-ipc", "aeron-udp", "ofi:tcp", "ofi:shm", "ofi:udp", "ofi:net");
  }

  /// In place over an even and an odd number of ranks.
  static Stream<Arguments> allForms() {
    return transports()
        .flatMap(
            transport ->
                Stream.of(
                    Arguments.of(transport, 2, Form.IN_PLACE),
                    Arguments.of(transport, 3, Form.IN_PLACE),
                    Arguments.of(transport, 3, Form.OF_LANES)));
  }

  static Stream<Arguments> allTransports() {
    return Stream.concat(transports(), Stream.of("stand-in-efa", "stand-in-efa-direct"))
        .flatMap(
            transport ->
                IntStream.rangeClosed(2, 5).mapToObj(ranks -> Arguments.of(transport, ranks)));
  }
}
