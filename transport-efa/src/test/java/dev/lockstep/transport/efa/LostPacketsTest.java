package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.failure.TransportException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A wire that loses packets of what one of two processes sends: its messages, and its answers to
/// the other's. They are lost under `udp;ofi_rxd`, which sends them again.
@Timeout(120)
@Tag("long")
final class LostPacketsTest {
  private static final int MESSAGES = 4;

  /// Some seconds for messages and what is sent again, on a busy machine.
  private static final Duration IN_TIME = Duration.ofSeconds(50);

  @TempDir private Path directory;

  @ParameterizedTest(name = "{0} % lost")
  @ValueSource(ints = {1, 3})
  void messagesArriveWholeAllTheSame(int percent) throws IOException, InterruptedException {
    LibfabricJudge.require(new OfiUdpProvider());
    Path lost = directory.resolve("lost");
    Map<String, String> environment =
        Map.of(
            "LD_PRELOAD", lossy().toString(),
            "LOCKSTEP_LOSS", Integer.toString(percent),
            "LOCKSTEP_LOST", lost.toString());
    Process other = FabricProcess.start("ofi:udp", directory, environment, 1, Long.MAX_VALUE);
    try (FabricProcess mine = new FabricProcess("ofi:udp", 0, directory)) {
      for (long sequence = 0; sequence < MESSAGES; sequence++) {
        mine.exchangeWhole(sequence, FabricProcess.BYTES);
      }
      assertThat(lost).as("packets were lost").exists();
      other.destroyForcibly().waitFor();
    } finally {
      other.destroyForcibly();
    }
  }

  /// Where both sides lose packets, `ofi_rxd` of 1.17 at times gives a segment up that its sender
  /// believes to be there. Whatever it does, nobody waits for good.
  @ParameterizedTest(name = "{0} % lost on both")
  @ValueSource(ints = {2, 3})
  void lossesOnBothSidesEndWholeOrInATypedErrorInTime(int percent)
      throws IOException, InterruptedException {
    LibfabricJudge.require(new OfiUdpProvider());
    Map<String, String> environment =
        Map.of("LD_PRELOAD", lossy().toString(), "LOCKSTEP_LOSS", "" + percent);
    List<Process> ranks = new ArrayList<>();
    try {
      for (int rank = 0; rank < 2; rank++) {
        ranks.add(FabricProcess.start("ofi:udp", directory, environment, rank, MESSAGES / 2));
      }
      for (int rank = 0; rank < 2; rank++) {
        Path log = FabricProcess.log(directory, rank);
        assertThat(ranks.get(rank).waitFor(IN_TIME.toSeconds(), TimeUnit.SECONDS))
            .as("rank %d has ended: %s", rank, Files.readString(log))
            .isTrue();
        assertThat(Files.readString(log))
            .contains(FabricProcess.BEGUN)
            .containsAnyOf(FabricProcess.WHOLE, TransportException.class.getName());
      }
    } finally {
      ranks.forEach(Process::destroyForcibly);
    }
  }

  /// Compiles what loses packets.
  private Path lossy() throws IOException, InterruptedException {
    assumeTrue(
        Arrays.stream(System.getenv("PATH").split(":"))
            .anyMatch(folder -> Files.isExecutable(Path.of(folder, "cc"))),
        "judge cc: no C compiler (apt-get install gcc)");
    Path source = directory.resolve("lossy.c");
    Path library = directory.resolve("lossy.so");
    try (InputStream code = getClass().getResourceAsStream("/lossy.c")) {
      Files.copy(Objects.requireNonNull(code), source);
    }
    Process compiler =
        new ProcessBuilder(
                "cc",
                "-O2",
                "-shared",
                "-fPIC",
                "-o",
                library.toString(),
                source.toString(),
                "-ldl")
            .redirectErrorStream(true)
            .start();
    String words = new String(compiler.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(compiler.waitFor()).as(words).isZero();
    return library;
  }
}
