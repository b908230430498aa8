package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.withinPercentage;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Topology;
import dev.lockstep.collective.simulate.Fabric;
import dev.lockstep.collective.simulate.Fabrics;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.launcher.CommandProvider;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class PlanCommandsTest {
  private static final String FABRIC =
      """
      {"name": "mine", "step_ns": 1, "memory_gb_per_s": 1000, "levels": [
        {"name": "near", "ranks": 2, "latency_us": 1, "gb_per_s": 100},
        {"name": "far", "latency_us": 10, "gb_per_s": 10, "uplink_gb_per_s": 10}]}
      """;

  @TempDir Path folder;

  private static String run(CommandProvider command, String... arguments) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
      assertThat(command.run(List.of(arguments), out, out)).isZero();
    }
    return bytes.toString(StandardCharsets.UTF_8);
  }

  private static String simulate(String... arguments) throws Exception {
    return run(new SimulateCommand(), arguments);
  }

  private static String explain(String... arguments) throws Exception {
    return run(new ExplainCommand(), arguments);
  }

  private String fabric(String text) throws Exception {
    return Files.writeString(folder.resolve("fabric.json"), text).toString();
  }

  @Test
  void simulatesAKnownFabric() throws Exception {
    String out =
        simulate(
            "all_reduce",
            "--fabric",
            "trn3-ultraserver",
            "--ranks",
            "4",
            "--bytes",
            "1M",
            "--algorithm",
            "ring-all-reduce");
    assertThat(out).contains("ring-all-reduce").contains("1 of 4 ranks").contains("simulated in");
    // 6 hops of 1.5 us, 0.1 us a step, a quarter of a MiB at 128 GB/s.
    assertThat(out).containsPattern("time +2[12]\\.\\d+ us");
  }

  @ParameterizedTest
  @CsvSource({"gather, linear-gather", "scatter, linear-scatter"})
  void aStarOfManyRanksIsTimedThoughItsRootHasAStepForEach(String collective, String algorithm)
      throws Exception {
    String[] star = {
      collective, "--fabric", "trn3-ultraserver", "--ranks", "20000", "--algorithm", algorithm
    };
    assertThat(simulate(star)).contains("algorithm      " + algorithm).contains("20,000 of 20,000");
  }

  @Test
  void simulatesAFabricFromAFile() throws Exception {
    String out = simulate("broadcast", "--fabric", fabric(FABRIC), "--ranks", "4", "--bytes", "1M");
    assertThat(out).contains("fabric         mine, 4 ranks").contains("near").contains("far");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{                                                     | not JSON at line 1, column",
        "[]                                                    | it is no object",
        "{\"name\": \"x\"}                                      | field=step_ns is missing",
        "{\"name\": \"x\", \"step_ns\": -1}                    | step_ns must be a finite number"
            + " above 0",
        "{\"name\": \"x\", \"step_ns\": 1e400}                 | step_ns must be a finite number"
            + " above 0",
        "{\"name\": \"x\", \"levels\": {\"a\": 1}}              | levels must be a list of levels",
        "{\"name\": \"x\", \"levels\": [8]}                   | a level must be an object, is 8",
        "{\"levels\": [{\"name\": \"n\", \"ranks\": 8.9}, {}]} | ranks must be a whole number, is"
            + " 8.9",
        "{\"name\": \"x\", \"color\": 1}                       | unknown field=color",
        "{\"step_ns\": 1, \"memory_gb_per_s\": 1}              | name is missing",
        "{\"name\": 7, \"levels\": []}                        | field=name must be a text, is 7",
        "{\"name\": \"x\", \"name\": \"y\"}                    | Duplicate field 'name'",
        "{\"name\": \"x\"} {}                                 | Trailing token",
        "{\"name\": \"x\", \"step_ns\": 1, \"memory_gb_per_s\": 1} | last level of a fabric",
      })
  void aWrongFabricFileIsOneSentenceThatNamesIt(String text, String part) throws Exception {
    String file = fabric(text);
    assertThatThrownBy(() -> simulate("all_reduce", "--fabric", file))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--fabric=" + file)
        .hasMessageContaining(part);
  }

  @ParameterizedTest
  @CsvSource({
    "--ranks, 0",
    "--ranks, many",
    "--bytes, 1Q",
    "--bytes, 3",
    "--algorithm, magic",
    "--mode, fast",
    "-d, int7",
    "-o, median"
  })
  void aWrongOptionIsOneSentenceThatNamesItAndItsValue(String option, String value) {
    assertThatThrownBy(() -> simulate("all_reduce", "--fabric", "trn2-ultraserver", option, value))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining(option)
        .hasMessageContaining(value);
  }

  @ParameterizedTest
  @CsvSource({
    "all_gather, --bytes=1M, must be at least 1200000",
    "all_reduce, --bytes=16385G, must be at most 16384G"
  })
  void sizesThatMeanNothingForAsManyRanksAreRefused(String collective, String bytes, String part) {
    String[] asked = {collective, "--fabric", "trn2-ultraserver", "--ranks", "300000", bytes};
    assertThatThrownBy(() -> simulate(asked))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining(bytes)
        .hasMessageContaining(part);
  }

  @ParameterizedTest
  @ValueSource(strings = {"--transport=shm", "--fit"})
  void whatIsForThisHostIsRefusedBesideAFabric(String option) {
    assertThatThrownBy(() -> explain("all_reduce", "--fabric", "h200-efa", option))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining(option)
        .hasMessageContaining("leave out --fabric");
  }

  @Test
  void tooManyRanksAreRefusedWithANumberThatMayDo() {
    String[] asked = {
      "alltoall", "--fabric", "trn3-ultraserver", "--ranks", "140000", "--bytes", "1G"
    };
    for (CommandProvider command : List.of(new SimulateCommand(), new ExplainCommand())) {
      assertThatThrownBy(() -> run(command, asked))
          .isInstanceOf(ConfigurationException.class)
          .hasMessage(
              "wrong option: --ranks=140000 (alltoall has too many steps to be timed by any"
                  + " algorithm; --ranks=69984 has not)");
    }
  }

  @Test
  void anUnknownFabricIsOneSentenceThatListsTheKnownOnes() {
    assertThatThrownBy(() -> simulate("all_reduce", "--fabric", "moon"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--fabric=moon")
        .hasMessageContaining("trn3-ultraserver");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "all_reduce",
        "reduce_scatter",
        "all_gather",
        "broadcast",
        "reduce",
        "alltoall",
        "gather",
        "scatter",
        "barrier",
        "sendrecv"
      })
  void everyCollectiveIsSimulated(String collective) throws Exception {
    assertThat(simulate(collective, "--fabric", "h200-efa", "--ranks", "12"))
        .contains("fabric         h200-efa, 12 ranks");
  }

  @ParameterizedTest
  @ValueSource(strings = {"all_reduce", "reduce_scatter", "all_gather", "alltoall", "sendrecv"})
  void bandwidthIsTheBytesThatWereAskedForOverTheTime(String collective) throws Exception {
    String[] asked = {collective, "--fabric", "h200-efa", "--ranks", "16", "--bytes", "1M"};
    double bytes = 1 << 20;
    String simulated = simulate(asked);
    double micros = number("time +([0-9.]+) us", simulated);
    double rate = number("algbw +([0-9.]+) GB/s", simulated);
    assertThat(rate * micros * 1e3).isCloseTo(bytes, withinPercentage(1));
    String explained = explain(asked);
    micros = number("([0-9.]+) +[0-9.]+ +<- chosen", explained);
    rate = number("[0-9.]+ +([0-9.]+) +<- chosen", explained);
    assertThat(rate * micros * 1e3).isCloseTo(bytes, withinPercentage(1));
  }

  @ParameterizedTest
  @CsvSource({
    "all_reduce, '', true",
    "all_reduce, --out-of-place, false",
    "broadcast, --out-of-place, false",
    "alltoall, '', false",
    "alltoall, --in-place, true",
    "sendrecv, '', false",
    "sendrecv, --in-place, true"
  })
  void whatIsPlannedIsInPlaceOrNotAsAsked(String collective, String asked, boolean inPlace) {
    PlanOptions options = new PlanOptions();
    options.parse("explain", asked.isEmpty() ? List.of(collective) : List.of(collective, asked));
    CollectiveRequest request = options.request(Topology.oneNode(2, true));
    assertThat(request.inPlace()).isEqualTo(inPlace);
  }

  @Test
  void inPlaceAndOutOfPlaceExcludeEachOther() {
    assertThatThrownBy(() -> explain("alltoall", "--in-place="))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage(
            "wrong option: --in-place= (write --in-place alone, or --in-place=true or =false)");
    assertThatThrownBy(() -> explain("alltoall", "--in-place", "--out-of-place"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("exclude each other");
  }

  private static double number(String pattern, String text) {
    Matcher found = Pattern.compile(pattern).matcher(text);
    assertThat(found.find()).as(text).isTrue();
    return Double.parseDouble(found.group(1));
  }

  static List<String> fabrics() {
    return Fabrics.all().stream().map(Fabric::name).toList();
  }

  @ParameterizedTest
  @MethodSource("fabrics")
  void everyKnownFabricIsSimulatedAndExplained(String fabric) throws Exception {
    String[] asked = {"all_reduce", "--fabric", fabric, "--ranks", "32", "--bytes", "1M"};
    assertThat(simulate(asked)).contains("fabric         " + fabric + ", 32 ranks");
    assertThat(explain(asked)).contains("choice: ");
  }

  @Test
  void explainsTheChoiceTheRefusalsAndTheSteps() throws Exception {
    String out = explain("all_reduce", "--bytes", "1M", "--ranks", "8", "--fabric", "h200-efa");
    assertThat(out)
        .contains("choice: ")
        .contains("<- chosen")
        .contains("ranks cannot read each other's memory")
        .contains("the cheapest")
        .contains("rank 0")
        .contains("receive");
  }

  @Test
  void explainsAsAChromeTraceWhereStepsDoNotOverlapAndMessagesAreAsynchronous() throws Exception {
    JsonNode trace =
        new ObjectMapper()
            .readTree(
                explain(
                    "all_reduce",
                    "--bytes",
                    "1M",
                    "--ranks",
                    "4",
                    "--fabric",
                    "h200-efa",
                    "--format",
                    "chrome-trace",
                    "--algorithm",
                    "exchange-all-reduce"));
    Map<String, Double> underWay = new HashMap<>();
    Map<String, Double> ends = new HashMap<>();
    int messages = 0;
    for (JsonNode event : trace.path("traceEvents")) {
      String thread = event.path("pid") + "/" + event.path("tid");
      double at = event.path("ts").asDouble();
      switch (event.path("ph").asText()) {
        case "X" -> {
          assertThat(event.path("dur").asDouble()).isPositive();
          assertThat(at).isGreaterThanOrEqualTo(ends.getOrDefault(thread, 0.0) - 0.0015);
          ends.put(thread, at + event.path("dur").asDouble());
        }
        case "b" -> assertThat(underWay.put(event.path("id").asText(), at)).isNull();
        case "e" -> {
          assertThat(underWay.remove(event.path("id").asText())).isLessThanOrEqualTo(at);
          messages++;
        }
        default -> assertThat(event.path("args").path("name").asText()).isNotEmpty();
      }
    }
    assertThat(ends).isNotEmpty();
    assertThat(underWay).isEmpty();
    assertThat(messages).isPositive();
    assertThat(trace.path("otherData").path("ranks").asInt()).isEqualTo(4);
    assertThat(trace.path("otherData").path("algorithm").asText()).isEqualTo("exchange-all-reduce");
  }

  @Test
  void explainsWhatRanksOfThisHostDoByWhatTheyMeasure() throws Exception {
    String out = explain("all_reduce", "--bytes", "1M", "--ranks", "2");
    assertThat(out)
        .startsWith("links: ")
        .contains("read (GB/s)")
        .containsPattern("choice: \\S+-all-reduce")
        .contains("ring does not realise the lane tree");
  }

  @Test
  void aWrongAlgorithmIsOneSentenceThatListsThoseOfTheCollective() {
    assertThatThrownBy(() -> explain("broadcast", "--algorithm", "ring-all-reduce"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--algorithm=ring-all-reduce")
        .hasMessageContaining("must be one of spread-broadcast, direct-broadcast");
  }

  @Test
  void explainsAsAGraphWithAnEdgePerMessage() throws Exception {
    String dot =
        explain(
            "all_reduce",
            "--bytes",
            "1M",
            "--ranks",
            "4",
            "--fabric",
            "h200-efa",
            "--format",
            "dot",
            "--algorithm",
            "ring-all-reduce");
    assertThat(dot).startsWith("digraph").endsWith("}\n");
    // A ring of four: six messages of each rank.
    assertThat(dot.lines().filter(line -> line.contains("constraint=false"))).hasSize(24);
  }

  @Test
  void aGraphOfManyStepsSaysHowManyRanksItLeavesOut() throws Exception {
    String dot =
        explain("alltoall --bytes 1M --ranks 64 --fabric h200-efa --format dot".split(" "));
    long drawn = dot.lines().filter(line -> line.contains("subgraph")).count();
    assertThat(drawn).isLessThan(64);
    assertThat(dot).contains("label=\"... and %s ranks more\"".formatted(64 - drawn));
  }

  @Test
  void aTraceSaysForHowManyRanksEachOfItsRanksStands() throws Exception {
    String trace =
        explain(
            "all_reduce --ranks 4 --fabric trn3-ultraserver --format chrome-trace --algorithm ring-all-reduce"
                .split(" "));
    assertThat(trace).contains("\"ranks\":4,\"simulated\":1", "{\"name\":\"rank 0, as 3 others\"}");
  }

  @Tag("long") // measures this host's links
  @Test
  void aNamedAlgorithmIsTimedThoughTheTableLeavesItOut() throws Exception {
    String[] small = "all_reduce --bytes 64 --ranks 2".split(" ");
    String table = explain(small);
    Matcher leftOut = Pattern.compile("(\\S+-all-reduce) .*every message is short").matcher(table);
    assertThat(leftOut.find()).as(table).isTrue();
    String algorithm = leftOut.group(1);
    String asked =
        explain(
            Stream.concat(Stream.of(small), Stream.of("--algorithm", algorithm))
                .toArray(String[]::new));
    assertThat(asked).contains("choice: " + algorithm).containsPattern(algorithm + " .*<- chosen");
  }

  @Test
  void aRankAloneOnAFabricTakesNoTime() throws Exception {
    assertThat(explain("all_reduce", "--ranks", "1", "--fabric", "h200-efa"))
        .contains("which takes no time")
        .doesNotContain("NaN");
  }
}
