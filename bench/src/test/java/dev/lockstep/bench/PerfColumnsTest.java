package dev.lockstep.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.bench.PerfRow.Timing;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// What `perf` prints is, byte for byte, what a C program prints that has the format strings of
/// nccl-tests' `src/util.cu`, but for blanks at the ends of lines.
final class PerfColumnsTest {
  private static final PerfPlan PLAN = PerfOptions.parse(List.of("all_reduce")).plan();

  private static Timing timing(
      double micros, double algBandwidth, double busBandwidth, long wrong) {
    PerfRow.Spread spread = new PerfRow.Spread(1, 1, 1, 1, 0, PerfRow.Start.COMMON);
    PerfRow.By by = new PerfRow.By("any", OptionalDouble.empty());
    return new Timing(micros, algBandwidth, busBandwidth, wrong, spread, by);
  }

  @Test
  void headersHaveTheWidthsOfNcclTests() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    new PerfReport(PLAN, 2, "shm", false, out).begin(List.of(), "typical ones");
    assertThat(bytes.toString(StandardCharsets.UTF_8).lines())
        .endsWith(
            "#                                                              out-of-place           "
                + "            in-place",
            "#       size         count      type   redop    root     time   algbw   busbw  #wrong "
                + "    time   algbw   busbw  #wrong",
            "#        (B)    (elements)                               (us)  (GB/s)  (GB/s)         "
                + "    (us)  (GB/s)  (GB/s)");
  }

  @Test
  void rowsHaveTheWidthsAndDecimalsOfNcclTests() {
    PerfRow large =
        new PerfRow(
            PLAN.collective(),
            1_073_741_824,
            268_435_456,
            timing(12_345_678.9, 86.97, 86.97, 0),
            timing(104.256, 10_299.2, 1234.56, 3));
    assertThat(large.columns())
        .isEqualTo(
            "  1073741824     268435456     float     sum      -1  1.2e+07   86.97   86.97       0 "
                + "  104.26   10299  1234.6       3");
    PerfRow unchecked =
        new PerfRow(PLAN.collective(), 4, 1, timing(0.314, 0.0127, 0.0127, -1), large.inPlace());
    assertThat(unchecked.columns())
        .startsWith("           4             1     float     sum      -1     0.31    0.01    0.01")
        .contains("    0.01     N/A   104.26");
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0",
    "1.5, 1.5",
    "0.00001234567, 1.23457e-05",
    "1234567.8, 1.23457e+06",
    "12.3456789, 12.3457",
    "999999.6, 1e+06"
  })
  void theMeanHasTheDigitsOfNcclTests(double value, String digits) {
    assertThat(PerfReport.general(value)).isEqualTo(digits);
  }
}
