package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.Promise;
import dev.lockstep.process.Signals;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A run that ends in the middle says why at once, leaves nothing but its checkpoint, and goes on
/// from there bit for bit.
@Timeout(240)
class KilledRankTest {
  private static final Duration END = Duration.ofSeconds(2);
  private static final int SIGINT = 2;
  private static final int INTERRUPTED = 130;
  private static final int TERMINATED = 143;

  @TempDir static Path folder;
  private static TinyJob job;
  private static String whole;

  @BeforeAll
  static void runWithoutAnEvent() throws Exception {
    job = new TinyJob(folder);
    try (Command command = start("whole", "shm")) {
      whole = command.done().printed("weights sha256");
    }
  }

  private static Command start(String name, String transport) throws IOException {
    // Steps in plenty until the next save: whoever waits for a slow disk cannot be ended in time.
    String[] options =
        job.gpt(name, "--steps=300", "--save-every=100", "--threads=1", "--transport=" + transport);
    return Command.lockstep(TinyJob.with(List.of("run", "--nproc-per-node=2"), options));
  }

  private static void awaitFirstCheckpoint(Command command, String name) {
    Path checkpoint = job.run(name).resolve("checkpoint/trainer_state.json");
    command.await("there is a checkpoint", () -> Files.exists(checkpoint));
  }

  private Command resume(String name, String... launch) throws IOException {
    String[] resumed = {
      "gpt", "--data=" + job.text(), "--cache=" + job.cache(), "--resume=" + job.run(name)
    };
    return Command.lockstep(TinyJob.with(List.of(launch), resumed));
  }

  private void goesOnToTheSameEnd(String name) throws Exception {
    try (Command command = resume(name, "run")) {
      assertThat(command.done().printed("weights sha256")).isEqualTo(whole);
      assertThat(command.printed("resumed after step")).matches("\\d+");
    }
  }

  @Test
  void aKilledRunAndThenAnInterruptedOneGoOnToTheSameEnd() throws Exception {
    String killed = aKilledRankIsNamed("shm");
    anInterruptedRunSaves(killed);
    goesOnToTheSameEnd(killed);
  }

  @ParameterizedTest
  @Tag("long")
  @ValueSource(strings = {"ofi:tcp", "aeron-udp"})
  void aKilledRankIsNamedOverAWireToo(String transport) throws Exception {
    goesOnToTheSameEnd(aKilledRankIsNamed(transport));
  }

  /// Whoever writes to a rank that died with the lock of `ofi:shm` taken spins in native code:
  /// there the launcher alone ends it. Several rounds, since not every kill meets that moment.
  @RepeatedTest(2)
  @Tag("long")
  void aKilledRankOverLibfabricsSharedMemoryEndsTheRun(RepetitionInfo round) throws Exception {
    String transport = "ofi:shm";
    Libfabric.require(transport);
    String kind = transport + "-" + round.getCurrentRepetition();
    var _ = kill(kind, transport, Leftovers::noneButLibfabrics);
  }

  /// Returns the name of the run that was killed.
  private static String aKilledRankIsNamed(String transport) throws Exception {
    Libfabric.require(transport);
    return kill(transport, transport, Leftovers::none);
  }

  /// What a run that was killed is to have left.
  private interface Check {
    void of(Leftovers leftovers) throws Exception;
  }

  /// Kills a rank of a run, and of others where the machine was too slow; returns the last one's
  /// name.
  private static String kill(String kind, String transport, Check check) throws Exception {
    List<String> names = new ArrayList<>();
    Promise.keptWithin(
        END,
        () -> {
          String name = "killed-%s-try-%d".formatted(kind, names.size());
          names.add(name);
          try (Command command = start(name, transport)) {
            awaitFirstCheckpoint(command, name);
            Leftovers leftovers = Leftovers.of(command.descendants());
            Duration time = untilEndOfKilled(command);
            check.of(leftovers);
            return time;
          }
        });
    return names.getLast();
  }

  private static Duration untilEndOfKilled(Command command) throws Exception {
    Signals.send("KILL", command.rank(1));
    Duration time = command.untilEnd();
    assertThat(command.exitCode()).as("%s", command.output()).isEqualTo(137);
    assertThat(command.err())
        .filteredOn(line -> line.startsWith("lockstep:"))
        .singleElement()
        .asString()
        .contains("rank 1 of 2 failed: process ended: signal=SIGKILL, exitCode=137");
    return time;
  }

  /// What was killed is resumed for that.
  private void anInterruptedRunSaves(String name) throws Exception {
    boolean ignored = Signals.isIgnored(SIGINT);
    try (Command command = resume(name, "run", "--nproc-per-node=2")) {
      command.await("its steps begin", () -> command.hasPrinted("resumed after step"));
      Leftovers leftovers = Leftovers.of(command.descendants());
      command.signal(ignored ? "TERM" : "INT");

      assertThat(command.exitCode())
          .as("%s", command.output())
          .isEqualTo(ignored ? TERMINATED : INTERRUPTED);
      assertThat(command.printed("stopped after step")).contains("--resume " + job.run(name));
      leftovers.none();
    }
  }
}
