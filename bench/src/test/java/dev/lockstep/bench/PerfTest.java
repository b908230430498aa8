package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.lockstep.collective.request.EvenCollective;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.locale.PersianDigits;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(60)
class PerfTest {
  private static final Pattern ROW =
      Pattern.compile(
          " *(\\d+) +(\\d+) +float +sum +-1 +[\\d.]+ +[\\d.]+ +[\\d.]+ +(\\d+) +[\\d.]+ +[\\d.]+"
              + " +[\\d.]+ +(\\d+)");

  @TempDir Path folder;

  private record Outcome(int code, String out) {
    List<String> rows() {
      return out.lines().filter(line -> ROW.matcher(line).matches()).toList();
    }
  }

  private static Outcome perf(String... arguments) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
      List<String> cold = new ArrayList<>(List.of(arguments));
      if (!cold.contains("-w")) {
        cold.addAll(List.of("-w", "2"));
      }
      int code = new PerfCommand().run(cold, out, out);
      return new Outcome(code, bytes.toString(StandardCharsets.UTF_8));
    }
  }

  @Test
  void printsEverySizeInTheColumnsOfNcclTestsAndTheSameAsJson() throws Exception {
    Path json = folder.resolve("perf.json");
    Outcome outcome =
        perf(
            "all_reduce",
            "-np",
            "2",
            "--in-process",
            "-b",
            "4",
            "-e",
            "64K",
            "-f",
            "4",
            "-n",
            "3",
            "--verbose",
            "--json",
            json.toString());
    assertThat(outcome.code).isZero();
    assertThat(outcome.rows()).hasSize(8);
    assertThat(outcome.out)
        .contains(
            "#                                                              out-of-place           "
                + "            in-place",
            "#       size         count      type   redop    root     time   algbw   busbw  #wrong "
                + "    time   algbw   busbw  #wrong",
            "# Out of bounds values : 0 OK",
            "# Avg bus bandwidth    : ",
            "# Collective test concluded: all_reduce_perf");
    JsonNode root = new ObjectMapper().readTree(json.toFile());
    assertThat(root.path("results").size()).isEqualTo(8);
    assertThat(root.path("results").path(7).path("size").asLong()).isEqualTo(65_536);
    assertThat(root.path("results").path(7).path("in_place").path("time").asDouble()).isPositive();
    assertThat(root.path("results").path(0).path("out_of_place").path("p99").asDouble())
        .isPositive();
    assertThat(root.path("results").findValuesAsText("start")).hasSize(16).containsOnly("in-a-row");
    // Which algorithm it is depends on what the links of this host were fitted to cost.
    assertThat(outcome.out)
        .containsPattern("#   size 65536: out-of-place \\S+, predicted [0-9.]+ us: ")
        .containsPattern(" p99 [0-9.]+ max [0-9.]+ us, start in-a-row");
    assertThat(root.path("out_of_bounds").asLong()).isZero();
  }

  @Test
  void aNamedAlgorithmRunsAndStandsInTheReportWithItsPrediction() throws Exception {
    Path json = folder.resolve("perf.json");
    Outcome outcome =
        perf(
            "all_reduce",
            "--in-process",
            "-b",
            "64K",
            "-e",
            "64K",
            "-n",
            "2",
            "--algorithm",
            "exchange-all-reduce",
            "--verbose",
            "--json",
            json.toString());
    assertThat(outcome.code).isZero();
    assertThat(outcome.out).contains("in-place exchange-all-reduce, predicted ");
    JsonNode inPlace =
        new ObjectMapper().readTree(json.toFile()).path("results").path(0).path("in_place");
    assertThat(inPlace.path("algorithm").asText()).isEqualTo("exchange-all-reduce");
    assertThat(inPlace.path("predicted").asDouble()).isPositive();
  }

  @ParameterizedTest
  @CsvSource({
    "broadcast, spread-broadcast",
    "alltoall, swap-all-to-all",
    "sendrecv, swap-send-receive"
  })
  void ofAnAlgorithmThatWorksInPlaceAloneTheOtherFormIsLeftOut(String collective, String algorithm)
      throws Exception {
    Path json = folder.resolve("perf.json");
    String line = collective + " --in-process -b 4K -e 4K -n 2 -v --algorithm " + algorithm;
    Outcome outcome =
        perf(
            Stream.concat(Stream.of(line.split(" ")), Stream.of("--json", json.toString()))
                .toArray(String[]::new));
    assertThat(outcome.code).as(outcome.out).isZero();
    assertThat(outcome.out)
        .containsPattern("    N/A +N/A +N/A +N/A +[0-9.]+ +[0-9.]+ +[0-9.]+ +0")
        .contains("out-of-place N/A; in-place " + algorithm);
    JsonNode result = new ObjectMapper().readTree(json.toFile()).path("results").path(0);
    assertThat(result.path("out_of_place").isNull()).isTrue();
    assertThat(result.path("in_place").path("algorithm").asText()).isEqualTo(algorithm);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "magic            | must be one of broadcast-all-reduce, spread-all-reduce",
        "direct-broadcast | must be one of broadcast-all-reduce, spread-all-reduce",
        "ring-all-reduce  | does not realise the lane tree"
      })
  void anAlgorithmThatCannotBeIsOneSentence(String name, String part) {
    assertThatThrownBy(() -> perf("all_reduce", "--in-process", "--algorithm", name))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--algorithm=" + name)
        .hasMessageContaining(part);
  }

  @Test
  void wrongInputOfRanksThatAreThreadsIsASentence() {
    assertThatThrownBy(
            () -> perf("all_reduce", "--in-process", "-np", "2", "--transport", "pigeon"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("pigeon");
  }

  @Test
  void resultsThatCannotBeWrittenNameTheirOption() {
    assertThatThrownBy(() -> perf("all_reduce", "--json", folder.resolve("no/file").toString()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--json=" + folder);
    assertThatThrownBy(
            () ->
                perf(
                    "all_reduce",
                    "--in-process",
                    "-e",
                    "4",
                    "-b",
                    "4",
                    "-n",
                    "1",
                    "--json",
                    "/dev/full"))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--json=/dev/full, cause=");
  }

  @Test
  void anEvenNumberHasTheMeanOfItsMiddleTwoAsMedian() {
    assertThat(
            PerfRow.Spread.of(new double[] {1000, 2000, 4000, 5000}, 0, PerfRow.Start.COMMON)
                .median())
        .isEqualTo(3);
  }

  @Test
  void choicesAreComparedWithEveryAlgorithmAndPredictionsWithTimes() throws Exception {
    Path json = folder.resolve("choices.json");
    Outcome outcome =
        perf(
            "all_gather",
            "--in-process",
            "-b",
            "4K",
            "-e",
            "64K",
            "-f",
            "16",
            "-n",
            "3",
            "--choices",
            "--json",
            json.toString());
    assertThat(outcome.code).isZero();
    assertThat(outcome.out)
        .containsPattern("# Choices within 10 % of the best : \\d of 2, worst ratio ")
        .containsPattern("# Prediction error, chosen : median [\\d.]+ % from 4 KiB up")
        .containsPattern("# Predicted by links: (typical ones|measured at \\S+Z, transport=)");
    JsonNode run = new ObjectMapper().readTree(json.toFile());
    assertThat(outcome.out).contains("# Predicted by links: " + run.path("links").asText());
    JsonNode choices = run.path("choices");
    assertThat(choices.size()).isEqualTo(2);
    assertThat(choices.path(0).path("ratio").asDouble()).isGreaterThanOrEqualTo(1);
    assertThat(choices.path(0).path("start").asText()).isIn("common", "barrier");
    assertThat(choices.path(0).path("rounds").asInt()).isBetween(3, 9);
    assertThat(choices.path(0).path("algorithms").findValuesAsText("algorithm"))
        .contains("direct-all-gather", "ring-all-gather", choices.path(0).path("chosen").asText());
  }

  /// Half an order of magnitude below what a wrong cost makes of it, far above what other work on
  /// the machine does to medians of interleaved operations.
  @ParameterizedTest
  @Tag("long")
  @ValueSource(strings = "all_reduce")
  void whatIsChosenTakesAtMostTwiceAsLongAsTheBest(String collective) throws Exception {
    Path json = folder.resolve("choices.json");
    String line = collective + " --in-process -b 1K -e 1M -f 32 -n 300 -w 1000 --choices --json";
    Outcome outcome =
        perf(
            Stream.concat(Stream.of(line.split(" ")), Stream.of(json.toString()))
                .toArray(String[]::new));
    List<JsonNode> ratios = new ObjectMapper().readTree(json.toFile()).findValues("ratio");
    assertThat(ratios).hasSize(3);
    assertThat(ratios)
        .as(outcome.out)
        .allSatisfy(ratio -> assertThat(ratio.asDouble()).isBetween(1.0, 2.0));
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({"reduce -r 3, 3", "reduce -r -1, 0 1 2 3", "reduce -np 4 -r 2, 2"})
  void underALauncherTheRanksAreThoseOfTheJob(String line, String roots) {
    List<String> arguments = List.of(line.split(" "));
    new PerfJob().check(arguments, 4);
    assertThat(PerfOptions.parse(arguments).plans(4))
        .extracting(plan -> plan.collective().root())
        .containsExactlyElementsOf(Arrays.stream(roots.split(" ")).map(Integer::valueOf).toList());
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource(
      delimiter = '|',
      value = {
        "all_gather -b 8 -e 8 | -b=8 (smaller than one element of float per rank)",
        "reduce -r 4          | -r=4 (must be a rank, 0 to 3, or -1 for all)",
        "all_reduce -np 2     | -np=2 (the job has 4 ranks: leave it out)"
      })
  void whatTheRanksOfTheJobCannotDoIsRefusedBeforeTheyStart(String line, String part) {
    List<String> arguments = List.of(line.split(" "));
    assertThatThrownBy(() -> new PerfJob().check(arguments, 4))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage("wrong option: " + part);
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "-b 4 -e 20 -f 2, 4 8 16",
    "-b 4 -e 12 -i 4, 4 8 12",
    "-b 4 -e 8G -f 2147483647, 4 8589934588",
    "-b 8G -e 8G -i 8589934591G, 8589934592"
  })
  void sizesEndWithTheLastOne(String asked, String sizes) {
    List<String> arguments = new ArrayList<>(List.of("all_reduce"));
    arguments.addAll(List.of(asked.split(" ")));
    assertThat(PerfOptions.parse(arguments).plan().sizes(2))
        .containsExactlyElementsOf(Arrays.stream(sizes.split(" ")).map(Long::valueOf).toList());
  }

  @Test
  void columnsHaveTheSameDigitsInEveryLocale() throws Exception {
    String[] small = {"all_reduce", "--in-process", "-b", "4", "-e", "4", "-n", "1", "-w", "0"};
    try (PersianDigits _ = new PersianDigits()) {
      Outcome table = perf(small);
      assertThat(table.rows()).hasSize(1);
      assertThat(table.out).contains("#  Rank  0 Group  0 Pid ").matches("[\\p{ASCII}]+");
      Outcome choices =
          perf(
              Stream.concat(Arrays.stream(small), Stream.of("--choices", "-v"))
                  .toArray(String[]::new));
      assertThat(choices.out).matches("[\\p{ASCII}]+");
      assertThat(PerfReport.general(1e9)).isEqualTo("1e+09");
    }
  }

  @Test
  void aWrongElementIsCountedAndTheExitCodeIsOne() throws Exception {
    Outcome outcome =
        perf(
            "all_reduce",
            "-np",
            "2",
            "--in-process",
            "-b",
            "1K",
            "-e",
            "1K",
            "-n",
            "2",
            "--inject-wrong",
            "1");
    assertThat(outcome.code).isEqualTo(1);
    assertThat(outcome.out).contains("# Out of bounds values : 1 FAILED");
    assertThat(outcome.rows())
        .singleElement()
        .asString()
        .matches(".* 1 +[\\d.]+ +[\\d.]+ +[\\d.]+ +0");
  }

  @ParameterizedTest(name = "type={0}, op={1}")
  @CsvSource({
    "double, sum",
    "half, sum",
    "bfloat16, avg",
    "f8e5m2, avg",
    "bool, sum",
    "f8e4m3, sum",
    "int8, max",
    "uint8, min",
    "int64, prod",
    "float, prod",
    "float, avg",
    "float, mulsum",
    "half, mulsum",
    "int32, bxor",
    "uint8, band",
    "int64, bor",
    "int16, land",
    "int8, lor",
    "int32, lxor"
  })
  void resultsOfEveryTypeAreExact(String type, String op) throws Exception {
    Outcome outcome =
        perf(
            "all_reduce",
            "-np",
            "3",
            "--in-process",
            "-b",
            "1000",
            "-e",
            "1000",
            "-n",
            "2",
            "-d",
            type,
            "-o",
            op);
    assertThat(outcome.code).as(outcome.out).isZero();
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({
    "all_reduce, 1000, sum, -1",
    "all_gather, 333, none, -1",
    "reduce_scatter, 333, sum, -1",
    "broadcast, 1000, none, 2",
    "reduce, 1000, sum, 2",
    "alltoall, 333, none, -1",
    "gather, 333, none, 2",
    "scatter, 333, none, 2",
    "sendrecv, 1000, sum, -1"
  })
  void everyCollectiveIsCheckedAndNamedAsNcclTestsNamesIt(
      String collective, int count, String op, int root) throws Exception {
    Outcome outcome =
        perf(
            collective,
            "-np",
            "3",
            "--in-process",
            "-b",
            "4000",
            "-e",
            "4000",
            "-n",
            "2",
            "-r",
            "2");
    assertThat(outcome.code).as(outcome.out).isZero();
    assertThat(outcome.out)
        .containsPattern(" %d +float +%s +%d ".formatted(count, op, root))
        .contains("# Out of bounds values : 0 OK", "concluded: " + collective + "_perf");
    Outcome wrong =
        perf(
            collective,
            "-np",
            "3",
            "--in-process",
            "-b",
            "4000",
            "-e",
            "4000",
            "-n",
            "1",
            "-w",
            "0",
            "-r",
            "0",
            "--inject-wrong",
            "1");
    assertThat(wrong.out).contains("# Out of bounds values : 1 FAILED");
    assertThat(wrong.code).isEqualTo(1);
  }

  @ParameterizedTest(name = "{0} {1}")
  @CsvSource({
    "reduce, -o all -r -1, 12",
    "reduce, -o all -d int32, 10",
    "reduce, -r -1, 2",
    "broadcast, -d all -o all, 13",
    "all_gather, -o all -r -1, 1",
    "sendrecv, -o all, 12"
  })
  void allTypesOpsAndRootsAreMeasuredInTheOrderOfNcclTests(
      String collective, String asked, int rows) throws Exception {
    Path json = folder.resolve("all.json");
    List<String> arguments =
        new ArrayList<>(List.of(collective, "--in-process", "-b", "64", "-e", "64", "-n", "1"));
    arguments.addAll(List.of("-w", "0", "--json", json.toString()));
    arguments.addAll(List.of(asked.split(" ")));
    Outcome outcome = perf(arguments.toArray(String[]::new));
    assertThat(outcome.code).as(outcome.out).isZero();
    assertThat(outcome.out.lines().filter(line -> !line.startsWith("#"))).hasSize(rows);
    assertThat(outcome.out).containsOnlyOnce("out-of-place");
    JsonNode results = new ObjectMapper().readTree(json.toFile()).path("results");
    assertThat(results.size()).isEqualTo(rows);
    if (asked.equals("-o all -r -1") && collective.equals("reduce")) {
      assertThat(results.findValuesAsText("redop"))
          .startsWith("sum", "sum", "prod", "prod", "max", "max", "min", "min", "avg");
      assertThat(results.findValuesAsText("root")).startsWith("0", "1", "0", "1");
    }
  }

  @Test
  void theMarkOfRankZeroIsTakenOffEachLine() throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (PrintStream out =
        new PrintStream(new RankZeroOutput(bytes), true, StandardCharsets.UTF_8)) {
      out.print("[rank0]: # one\n[rank1]: [rank0]: two\n[rank0]:three\n\n[rank0]: ");
    }
    assertThat(bytes.toString(StandardCharsets.UTF_8))
        .isEqualTo("# one\n[rank1]: [rank0]: two\n[rank0]:three\n\n");
  }

  @Test
  void broadcastIsMeasuredDirtyToo() throws Exception {
    Outcome outcome =
        perf(
            "broadcast",
            "-np",
            "3",
            "--in-process",
            "-b",
            "4K",
            "-e",
            "4K",
            "-n",
            "2",
            "-r",
            "2",
            "--dirty");
    assertThat(outcome.code).as(outcome.out).isZero();
    assertThat(outcome.out).contains("none       2", "buffers: dirty");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "all_reduce -b 4X",
        "all_reduce -b 1M -e 4",
        "all_reduce -d float8",
        "all_reduce -o median",
        "all_reduce -o bxor",
        "all_gather -np 4 -b 8",
        "all_reduce -np 0",
        "all_reduce -n 0",
        "all_reduce -f 1",
        "all_reduce -i 0",
        "all_reduce -f 2 -i 4",
        "all_reduce --dirty --clean",
        "broadcast -np 2 -r 2",
        "all_together",
        "all_reduce --unknown"
      })
  void wrongOptionsAreOneSentence(String line) {
    assertThatThrownBy(() -> perf(line.split(" ")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageNotContaining("\n");
  }

  @ParameterizedTest
  @CsvSource({"4, 4", "64K, 65536", "1m, 1048576", "2G, 2147483648", "8KB, 8192"})
  void sizesAreBinary(String text, long bytes) {
    assertThat(ByteSize.parse(text)).isEqualTo(bytes);
  }

  @Test
  void theCheckSeesEveryFalsifiedElement() {
    EvenCollective collective = PerfOptions.parse(List.of("all_reduce")).plan().collective();
    TestPattern pattern = new TestPattern(collective, 3);
    byte[] result = new byte[400];
    MemorySegment segment = MemorySegment.ofArray(result);
    for (int i = 0; i < 100; i++) {
      double sum = 0;
      for (int rank = 0; rank < 3; rank++) {
        sum += pattern.contribution(rank, i);
      }
      Elements.set(collective.dtype(), segment, i, sum);
    }
    MemorySegment scratch = MemorySegment.ofArray(new byte[400]);
    assertThat(pattern.wrong(0, segment, scratch, 100, 0, 100)).isZero();
    int[] falsified = {0, 1, 50, 99};
    Arrays.stream(falsified).forEach(i -> result[i * 4 + 1] ^= 4);
    assertThat(pattern.wrong(0, segment, scratch, 100, 0, 100)).isEqualTo(falsified.length);
    assertThat(pattern.wrong(0, segment, scratch, 100, 0, 50)).isEqualTo(2);
    assertThat(pattern.wrong(0, segment, scratch, 100, 50, 100)).isEqualTo(2);
  }
}
