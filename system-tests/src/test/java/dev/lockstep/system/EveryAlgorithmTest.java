package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.system.EveryAlgorithm.Form;
import dev.lockstep.system.EveryAlgorithm.Result;
import java.util.List;
import java.util.Set;
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
  /// What is tried where long tests are not: they need not try it again.
  private static final Set<String> IN_SHORT = Set.of("aeron-udp, 2", "ofi:tcp, 3");

  private static final Set<String> AMONG_ALL = Set.of("shm", "ofi:tcp", "ofi:shm", "ofi:udp");

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
  @CsvSource({"aeron-udp, 2", "ofi:tcp, 3"})
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
                    Arguments.of(transport, 3, Form.OF_LANES)))
        .filter(form -> !(form.get()[0].equals("shm") && form.get()[1].equals(3)));
  }

  /// Over each transport two and three ranks, and by turns four or five: what algorithms do among
  /// so many is no matter of the transport. Over shared memory, which ranks read in place, and over
  /// libfabric's stream, shared memory and datagrams both.
  static Stream<Arguments> allTransports() {
    List<String> transports =
        Stream.concat(transports(), Stream.of("stand-in-efa", "stand-in-efa-direct")).toList();
    return IntStream.range(0, transports.size())
        .boxed()
        .flatMap(
            i ->
                IntStream.rangeClosed(2, 5)
                    .filter(
                        ranks ->
                            ranks < 4
                                || ranks == 4 + i % 2
                                || AMONG_ALL.contains(transports.get(i)))
                    .mapToObj(ranks -> Arguments.of(transports.get(i), ranks)))
        .filter(each -> !IN_SHORT.contains(each.get()[0] + ", " + each.get()[1]));
  }
}
