package dev.lockstep.launcher.process;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
final class SupervisorTest {
  private static RankCommand command(int rank, String... words) {
    return new RankCommand(rank, rank, List.of(words), Map.of(), List.of(), null);
  }

  /// A process that force does not end, as one that waits in the kernel: its end never comes.
  private static final class Held extends Process {
    private final Process sleeping;

    Held() throws IOException {
      sleeping = new ProcessBuilder("sleep", "60").start();
    }

    @Override
    public CompletableFuture<Process> onExit() {
      return new CompletableFuture<>();
    }

    @Override
    public ProcessHandle toHandle() {
      return sleeping.toHandle();
    }

    @Override
    public long pid() {
      return 4711;
    }

    @Override
    public OutputStream getOutputStream() {
      return sleeping.getOutputStream();
    }

    @Override
    public InputStream getInputStream() {
      return sleeping.getInputStream();
    }

    @Override
    public InputStream getErrorStream() {
      return sleeping.getErrorStream();
    }

    @Override
    public int waitFor() throws InterruptedException {
      return sleeping.waitFor();
    }

    @Override
    public int exitValue() {
      return sleeping.exitValue();
    }

    @Override
    public void destroy() {
      sleeping.destroy();
    }
  }

  @Test
  void whoEvenForceDoesNotEndIsNamedAndLeft() throws Exception {
    ByteArrayOutputStream said = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(said, true, UTF_8);
    Duration soon = Duration.ofMillis(50);
    Supervisor.Patience patience = new Supervisor.Patience(soon, soon, soon, soon);
    try (Supervisor supervisor = new Supervisor(new Console(out, out), patience)) {
      supervisor.start(command(0, "sh", "-c", "exit 3"), "", false);
      supervisor.watch(new RankProcess(1, new Held(), List.of()));
      List<RankExit> exits = supervisor.await(_ -> {});
      assertThat(exits)
          .containsExactly(new RankExit(0, 3, 0, false), new RankExit(1, 137, 1, true));
      assertThat(exits.getLast().failed()).isFalse();
      supervisor.endAll();
    }
    assertThat(said.toString(UTF_8)).contains("cannot be ended: rank=1, pid=4711");
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
