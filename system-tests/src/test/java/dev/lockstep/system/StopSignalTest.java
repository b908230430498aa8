package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.process.JavaCommand;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class StopSignalTest {
  private static final int BY_SIGTERM = 143;

  @Test
  void whoRunsAJobBySelfMadeMainSavesBeforeASignalEndsIt() throws Exception {
    List<String> program =
        JavaCommand.of(
            List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            StoppableRank.class.getName(),
            List.of());
    try (Command rank = Command.start(Map.of(), program)) {
      rank.await("it works", () -> rank.hasPrinted("works in"));
      Path folder = Path.of(rank.printed("works in"));
      assertThat(folder).isDirectory();
      rank.signal("TERM");
      assertThat(rank.exitCode()).isEqualTo(BY_SIGTERM);
      assertThat(rank.out()).endsWith("saved");
      assertThat(folder).doesNotExist();
    }
  }
}
