package dev.lockstep.launcher.process;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
final class SupervisorTest {
  private static RankCommand command(int rank, String... words) {
    return new RankCommand(rank, rank, List.of(words), Map.of(), List.of(), null);
  }

  @Test
  void whoWasStartedHasEndedWhenAnotherCannotBe() throws Exception {
    PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());
    Supervisor.Patience patience = Supervisor.Patience.standard(Duration.ofHours(1));
    try (Supervisor supervisor = new Supervisor(new Console(nowhere, nowhere), patience)) {
      List<ProcessHandle> before = ProcessHandle.current().children().toList();
      supervisor.start(command(0, "sleep", "60"), "", false);
      List<ProcessHandle> started =
          ProcessHandle.current().children().filter(child -> !before.contains(child)).toList();
      assertThat(started).anyMatch(ProcessHandle::isAlive);
      assertThatThrownBy(() -> supervisor.start(command(1, "/no/such/program"), "", false))
          .isInstanceOf(IOException.class);
      supervisor.endAll();
      assertThat(started).noneMatch(ProcessHandle::isAlive);
    }
  }
}
