package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class RunOptionsTest {
  private static LaunchOptions launch(
      String ranks, String nodes, String nodeRank, String endpoint) {
    return new RunOptions(ranks, nodes, nodeRank, endpoint, false, "job", "c10d", "0")
        .launch(List.of(), null, OptionalInt.of(80), Map.of());
  }

  @Test
  void startsOneRankOnAFreePortWithoutOptions() {
    LaunchOptions options =
        new RunOptions(null, null, null, null, false, "", "c10d", "0")
            .launch(List.of(), null, OptionalInt.empty(), Map.of());
    assertThat(options.layout()).isEqualTo(new RankLayout(1, 1));
    assertThat(options.host()).isEqualTo("127.0.0.1");
    assertThat(options.port()).isZero();
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
    assertThat(options.host()).isEqualTo(host);
    assertThat(options.port()).isEqualTo(port);
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({"auto", "cpu"})
  void startsOneRankPerCore(String ranks) {
    assertThat(launch(ranks, "1", "0", "h").layout().ranksPerNode())
        .isEqualTo(Runtime.getRuntime().availableProcessors());
  }

  @Test
  void takesARangeOfOneNumberOfNodes() {
    assertThat(launch("1", "2:2", "0", "h").layout().nodes()).isEqualTo(2);
  }

  @Test
  void givesTheTerminalToTheNodeOfRankZero() {
    assertThat(launch("1", "2", "0", "h").terminalColumns()).hasValue(80);
    assertThat(launch("1", "2", "1", "h").terminalColumns()).isEmpty();
  }
}
