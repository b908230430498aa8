package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class RunOptionsTest {
  private static LaunchOptions launch(
      String ranks, String nodes, String nodeRank, String endpoint) {
    return new RunOptions(ranks, nodes, nodeRank, endpoint, false, "job", "c10d", "0", null, "none")
        .launch(List.of(), null, OptionalInt.of(80), Map.of());
  }

  @Test
  void startsOneRankOnAFreePortWithoutOptions() {
    LaunchOptions options =
        new RunOptions(null, null, null, null, false, "", "c10d", "0", null, "none")
            .launch(List.of(), null, OptionalInt.empty(), Map.of());
    assertThat(options.layout()).isEqualTo(new RankLayout(1, 1));
    assertThat(options.rendezvous().host()).isEqualTo("127.0.0.1");
    assertThat(options.rendezvous().port()).isZero();
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "node-0:4711, node-0, 4711",
    "node-0, node-0, 29400",
    "10.0.0.1:1, 10.0.0.1, 1",
    "[fe80::1]:4711, fe80::1, 4711",
    "[fe80::1], fe80::1, 29400",
    "fe80::1, fe80::1, 29400",
  })
  void readsTheEndpoint(String endpoint, String host, int port) {
    LaunchOptions options = launch("2", "2", "1", endpoint);
    assertThat(options.rendezvous().host()).isEqualTo(host);
    assertThat(options.rendezvous().port()).isEqualTo(port);
  }

  @ParameterizedTest(name = "--stop-patience {0}, environment {1}")
  @CsvSource({"0.25, 7000, 250", "12, 7000, 12000", ", 7000, 7000", ", ' ', 30000"})
  void takesThePatienceFromTheOptionOrElseTheEnvironment(
      String option, String variable, long millis) {
    assertThat(StopPatience.of(option, Map.of("LOCKSTEP_STOP_PATIENCE_MS", variable)))
        .hasMillis(millis);
  }

  @Test
  void givesRanksEveryPatienceThatItTakes() {
    LaunchOptions longest = launch("1", "1", "0", "h").withStopPatience(Duration.ofDays(365));
    Map<String, String> variables =
        new WorkerEnvironment(longest, "job", 1, Path.of("t"), Path.of("f")).of(0, Path.of("e"));
    assertThat(StopPatience.of(variables)).isGreaterThan(Duration.ofDays(365));
    assertThatThrownBy(() -> longest.withStopPatience(Duration.ofDays(366)))
        .isInstanceOf(ConfigurationException.class);
    assertThatThrownBy(() -> longest.withStopPatience(Duration.ofMillis(-1)))
        .isInstanceOf(ConfigurationException.class);
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({"-1", "soon", "1e3", "9999999"})
  void refusesAPatienceThatIsNone(String option) {
    assertThatThrownBy(() -> StopPatience.of(option, Map.of()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--stop-patience=" + option);
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({"auto", "cpu"})
  void startsOneRankPerCore(String ranks) {
    assertThat(launch(ranks, "1", "0", "h").layout().ranksPerNode())
        .isEqualTo(Runtime.getRuntime().availableProcessors());
  }

  @ParameterizedTest(name = "{1} nodes of {0}")
  @CsvSource({"1024, 1048576", "1024, 1025", "2, 524289"})
  void refusesMoreRanksThanAJobMayHave(String ranks, String nodes) {
    assertThatThrownBy(() -> launch(ranks, nodes, "0", "h"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("mostRanks=1048576");
  }

  @ParameterizedTest(name = "{0} ranks, {1} nodes, node {2}, port {3}")
  @CsvSource({
    "1025, 1, 0, 1, --nproc-per-node=1025: it must be a whole number from 1 to 1024",
    "1000000, 1, 0, 1, --nproc-per-node=1000000: it must be a whole number from 1 to 1024",
    "99999999999, 1, 0, 1, --nproc-per-node=99999999999: it must be a whole number from 1 to 1024",
    "1, 1048577, 0, 1, --nnodes=1048577: it must be a whole number from 1 to 1048576",
    "1, 2, 1048576, 1, --node-rank=1048576: it must be a whole number from 0 to 1048575",
    "1, 2, 0, 65536, --rdzv-endpoint=65536: it must be a whole number from 0 to 65535"
  })
  void refusesWhatIsTooLargeWithTheMost(
      String ranks, String nodes, String node, String port, String sentence) {
    assertThatThrownBy(() -> launch(ranks, nodes, node, "h:" + port))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage("option is wrong: " + sentence);
  }

  @Test
  void takesARangeOfOneNumberOfNodes() {
    assertThat(launch("1", "2:2", "0", "h").layout().nodes()).isEqualTo(2);
  }

  @Test
  void givesTheTerminalToTheNodeOfRankZero() {
    assertThat(launch("1", "2", "0", "h").processes().terminalColumns()).hasValue(80);
    assertThat(launch("1", "2", "1", "h").processes().terminalColumns()).isEmpty();
  }

  @Test
  void refusesABindingThatThereIsNot() {
    RunOptions options =
        new RunOptions("1", null, null, null, false, "", "c10d", "0", null, "sockets");
    assertThatThrownBy(() -> options.launch(List.of(), null, OptionalInt.empty(), Map.of()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage("option is wrong: --bind=sockets: it must be cores or none");
  }
}
