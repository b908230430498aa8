package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import java.util.regex.Pattern;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// `perf` between processes, over transports of every module: rows of nccl-tests' columns.
@Timeout(120)
@Tag("long")
class PerfOverTransportsTest {
  private static final Pattern ROW = Pattern.compile(" *\\d+ +\\d+ +float +sum .*");

  /// What bandwidths are rounded to, and what rounded times make of it.
  private static final Offset<Double> ROUNDED = within(0.1);

  @ParameterizedTest
  @ValueSource(strings = {"shm", "aeron-udp", "ofi:tcp", "ofi:udp"})
  void printsRowsInTheColumnsOfNcclTests(String transport) throws Exception {
    Libfabric.require(transport);
    String options = "perf all_reduce -np 2 -b 4 -e 1M -f 512 -n 5 -w 5 --transport " + transport;
    try (Command perf = Command.lockstep(options.split(" "))) {
      List<String[]> rows =
          perf.done().out().stream()
              .filter(line -> ROW.matcher(line).matches())
              .map(line -> line.strip().split(" +"))
              .toList();
      assertThat(perf.output()).contains("# nRanks 2 transport: " + transport + " ");
      assertThat(perf.output()).contains("# Out of bounds values : 0 OK");
      assertThat(rows).extracting(row -> row[0]).containsExactly("4", "2048", "1048576");
      for (String[] row : rows) {
        // size count type redop root, then time algbw busbw #wrong out of place and in place
        assertThat(row).hasSize(13);
        long bytes = Long.parseLong(row[0]);
        assertThat(Long.parseLong(row[1])).isEqualTo(bytes / Float.BYTES);
        assertThat(row[4]).isEqualTo("-1");
        for (int at : new int[] {5, 9}) {
          double micros = Double.parseDouble(row[at]);
          double algBandwidth = Double.parseDouble(row[at + 1]);
          assertThat(micros).isPositive();
          assertThat(algBandwidth).isEqualTo(bytes / micros / 1000, ROUNDED);
          // 2 (n - 1) / n of it is 1 for two ranks.
          assertThat(Double.parseDouble(row[at + 2])).isEqualTo(algBandwidth, ROUNDED);
          assertThat(row[at + 3]).isEqualTo("0");
        }
      }
    }
  }
}
