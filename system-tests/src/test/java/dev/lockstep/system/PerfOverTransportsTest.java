package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// `perf` between processes, every collective, over transports of every module: rows of nccl-tests'
/// columns.
@Timeout(120)
@Tag("long")
class PerfOverTransportsTest {
  private static final int RANKS = 2;

  /// What bandwidths are rounded to, and what rounded times make of it.
  private static final Offset<Double> ROUNDED = within(0.1);

  @ParameterizedTest(name = "{0}, {1}")
  @CsvSource({
    "all_reduce, shm",
    "all_gather, aeron-ipc",
    "reduce_scatter, aeron-udp",
    "broadcast, ofi:net",
    "reduce, ofi:shm",
    "alltoall, ofi:tcp",
    "gather, ofi:udp",
    "scatter, shm",
    "sendrecv, aeron-ipc"
  })
  void printsRowsInTheColumnsOfNcclTests(String collective, String transport) throws Exception {
    Libfabric.require(transport);
    boolean isInParts = collective.endsWith("gather") || collective.endsWith("scatter");
    isInParts |= collective.equals("alltoall");
    double busFactor = isInParts ? (RANKS - 1.0) / RANKS : 1;
    boolean namesOp = collective.contains("reduce") || collective.equals("sendrecv");
    boolean hasRoot = List.of("broadcast", "reduce", "gather", "scatter").contains(collective);
    String options = " -np 2 -b 8 -e 1M -f 256 -n 5 -w 5 --transport ";
    try (Command perf = Command.lockstep(("perf " + collective + options + transport).split(" "))) {
      List<String[]> rows =
          perf.done().out().stream()
              .filter(line -> line.matches(" *\\d+ +\\d+ +float .*"))
              .map(line -> line.strip().split(" +"))
              .toList();
      assertThat(perf.output()).contains("# nRanks 2 transport: " + transport + " ");
      assertThat(perf.output()).contains("# Out of bounds values : 0 OK");
      assertThat(rows).extracting(row -> row[0]).containsExactly("8", "2048", "524288");
      for (String[] row : rows) {
        // size count type redop root, then time algbw busbw #wrong out of place and in place
        assertThat(row).hasSize(13);
        long bytes = Long.parseLong(row[0]);
        assertThat(Long.parseLong(row[1])).isEqualTo(bytes / Float.BYTES / (isInParts ? RANKS : 1));
        assertThat(row[3]).isEqualTo(namesOp ? "sum" : "none");
        assertThat(row[4]).isEqualTo(hasRoot ? "0" : "-1");
        for (int at : new int[] {5, 9}) {
          double micros = Double.parseDouble(row[at]);
          double algBandwidth = Double.parseDouble(row[at + 1]);
          assertThat(micros).isPositive();
          assertThat(algBandwidth).isEqualTo(bytes / micros / 1000, ROUNDED);
          double busBandwidth = Double.parseDouble(row[at + 2]);
          assertThat(busBandwidth).isEqualTo(algBandwidth * busFactor, ROUNDED);
          assertThat(row[at + 3]).isEqualTo("0");
        }
      }
    }
  }
}
