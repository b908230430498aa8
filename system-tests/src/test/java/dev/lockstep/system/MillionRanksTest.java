package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.Promise;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A million ranks are simulated in a time and a memory that a laptop has.
@Timeout(240)
@Tag("long")
class MillionRanksTest {
  private static final Duration MINUTE = Duration.ofMinutes(1);
  private static final long MOST_KIB = 4_000_000;

  @TempDir private Path folder;

  @Test
  void anAllReduceOverUltraServersTakesLessThanAMinuteAndFourGigabytes() throws Exception {
    Promise.keptWithin(MINUTE, this::timeOfAnAllReduce);
  }

  private Duration timeOfAnAllReduce() throws Exception {
    List<String> program =
        Command.lockstepProgram(
            "simulate",
            "all_reduce",
            "--fabric",
            "trn3-ultraserver",
            "--ranks",
            "1000000",
            "--bytes",
            "1G");
    Path out = folder.resolve("out");
    long start = System.nanoTime();
    Process process =
        new ProcessBuilder(program).redirectErrorStream(true).redirectOutput(out.toFile()).start();
    long peakKib = 0;
    try {
      while (!process.waitFor(20, TimeUnit.MILLISECONDS)) {
        peakKib = Math.max(peakKib, peakKib(process.pid()));
      }
    } finally {
      process.destroyForcibly();
    }
    Duration time = Duration.ofNanos(System.nanoTime() - start);
    assertThat(Files.readString(out))
        .contains("algorithm      hierarchical-all-reduce")
        .contains("of 1,000,000 ranks");
    assertThat(process.exitValue()).isZero();
    assertThat(peakKib).isBetween(1L, MOST_KIB);
    return time;
  }

  /// Returns the largest resident memory so far; 0 once the process has ended.
  private static long peakKib(long process) {
    try {
      return Files.readAllLines(Path.of("/proc", "" + process, "status")).stream()
          .filter(line -> line.startsWith("VmHWM:"))
          .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")))
          .findFirst()
          .orElse(0);
    } catch (IOException _) {
      return 0;
    }
  }
}
