package dev.lockstep.launcher;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.deadline.Promise;
import dev.lockstep.job.ErrorFile;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.Processors;
import dev.lockstep.launcher.CommandProcess.Rank;
import dev.lockstep.process.Ports;
import dev.lockstep.process.Signals;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// `lockstep run` with real processes.
@Timeout(60)
final class RunTest {
  private static final Duration END = Duration.ofSeconds(2);

  // The job computes nothing: its ranks start sooner when nothing is optimized.
  private static final String SOON = "--jvm-arg=-XX:TieredStopAtLevel=1";

  private static final Path SYSTEM = Path.of("/sys/devices/system/cpu");

  @TempDir private Path temporary;
  private final int port = Ports.free();

  private static CommandProcess run(String... arguments) throws IOException {
    return run(Map.of(), arguments);
  }

  private static CommandProcess run(Map<String, String> environment, String... arguments)
      throws IOException {
    List<String> all = new ArrayList<>(List.of("run", SOON));
    all.addAll(List.of(arguments));
    return CommandProcess.start(environment, all.toArray(String[]::new));
  }

  private static void assertNothingIsLeft(List<Rank> ranks) {
    assertThat(ranks).noneMatch(rank -> rank.process().filter(ProcessHandle::isAlive).isPresent());
    assertThat(ranks).noneMatch(rank -> Files.exists(rank.folder()));
  }

  @Test
  void prefixesWhatRanksPrintAndEndsWithZero() throws Exception {
    try (CommandProcess command = run("--nproc_per_node=2", "test", "print")) {
      List<Rank> ranks = command.ready(2);
      assertThat(command.exitCode()).as("%s", command.err()).isZero();
      assertThat(command.out())
          .contains("[rank0]: no newline", "[rank1]: no newline")
          .contains("[rank1]: columns OptionalInt.empty");
      assertThat(command.err()).contains("[rank0]: a warning", "[rank1]: a warning").hasSize(2);
      assertNothingIsLeft(ranks);
    }
  }

  @Test
  void passesOnTheOutputOfASingleRankOnATerminalAsItIs() throws Exception {
    try (CommandProcess command =
        CommandProcess.start(
            List.of("-Dlockstep.terminal=120"), Map.of(), "run", "--standalone", "test", "print")) {
      assertThat(command.exitCode()).as("%s", command.err()).isZero();
      assertThat(command.out()).contains("columns OptionalInt[120]", "no newline");
    }
  }

  @Test
  void namesTheFirstFailureOnceWithItsStack() throws Exception {
    Path errorFile = temporary.resolve("error.json");
    try (CommandProcess command =
        run(
            Map.of("TORCHELASTIC_ERROR_FILE", errorFile.toString()),
            "--nproc-per-node",
            "3",
            "test",
            "fail",
            "1")) {
      List<Rank> ranks = command.ready(3);
      assertThat(command.exitCode()).isEqualTo(1);
      assertThat(command.err())
          .filteredOn(line -> line.contains("boom"))
          .hasSize(2)
          .first()
          .asString()
          .startsWith("lockstep: rank 1 of 3 failed: IllegalStateException: boom: step=7")
          .contains("activity=breaking step 7");
      assertThat(command.err()).anyMatch(line -> line.contains("at dev.lockstep.launcher.TestJob"));
      assertThat(command.err()).filteredOn(line -> line.startsWith("lockstep:")).hasSize(1);
      assertNothingIsLeft(ranks);
    }
    assertThat(ErrorFile.readFirst(errorFile, 1, "here"))
        .hasValueSatisfying(record -> assertThat(record.message()).isEqualTo("boom: step=7"));
  }

  @ParameterizedTest(name = "{0}")
  @CsvSource({"exit, 3, work ended with an exit code", "quit, 5, process ended: exitCode=5"})
  void endsWithTheExitCodeOfTheFirstFailedRank(String how, int code, String sentence)
      throws Exception {
    try (CommandProcess command =
        run("--nproc-per-node=2", "test", how, "0", Integer.toString(code))) {
      List<Rank> ranks = command.ready(2);
      assertThat(command.exitCode()).as("%s", command.err()).isEqualTo(code);
      assertThat(command.err())
          .filteredOn(line -> line.contains("rank 0 of 2 failed"))
          .hasSize(1)
          .allMatch(line -> line.contains(sentence));
      assertNothingIsLeft(ranks);
    }
  }

  @ParameterizedTest(name = "the others {0}")
  @CsvSource({"wait", "hang"})
  void endsWithinTwoSecondsOfAKilledRank(String others) throws Exception {
    Promise.keptWithin(END, () -> untilEndOfAKilledRank(others));
  }

  private static Duration untilEndOfAKilledRank(String others) throws Exception {
    try (CommandProcess command = run("--nproc-per-node=2", "test", others)) {
      List<Rank> ranks = command.ready(2);
      Rank victim =
          ranks.stream()
              .filter(rank -> rank.line().startsWith("[rank1]"))
              .findFirst()
              .orElseThrow();
      victim.process().orElseThrow().destroyForcibly();
      Duration time = command.untilEnd();
      assertThat(command.exitCode()).isEqualTo(137);
      assertThat(command.err())
          .filteredOn(line -> line.startsWith("lockstep:"))
          .hasSize(1)
          .first()
          .asString()
          .contains("rank 1 of 2 failed: process ended: signal=SIGKILL, exitCode=137");
      assertNothingIsLeft(ranks);
      return time;
    }
  }

  @Test
  void saysTheUsersMistakeOnceWithoutAStack() throws Exception {
    try (CommandProcess command = run("--nproc-per-node=2", "test", "mistake")) {
      assertThat(command.exitCode()).isEqualTo(2);
      assertThat(command.err()).containsExactly("lockstep: width is odd: --width=7 (give 8)");
    }
  }

  @Test
  void checksTheJobsArgumentsBeforeAnythingIsStarted() throws Exception {
    try (CommandProcess command = run("--nproc-per-node=2", "test")) {
      assertThat(command.exitCode()).isEqualTo(2);
      assertThat(command.out()).isEmpty();
      assertThat(command.err()).containsExactly("lockstep: job has nothing to do: worldSize=2");
    }
  }

  @ParameterizedTest(name = "SIG{0}")
  @CsvSource({"INT, 130, 2", "TERM, 143, 15"})
  void letsRanksSaveBeforeASignalEndsTheRun(String signal, int code, int number) throws Exception {
    assumeFalse(Signals.isIgnored(number), "SIG" + signal + " is ignored where the tests run");
    Path saved = temporary.resolve("saved");
    try (CommandProcess command =
        run("--nproc-per-node=2", "test", "save", "0", saved.toString())) {
      List<Rank> ranks = command.ready(2);
      Signals.send(signal, command.handle());
      assertThat(command.exitCode()).isEqualTo(code);
      assertThat(Path.of(saved + ".0")).hasContent("saved by 0");
      assertThat(Path.of(saved + ".1")).hasContent("saved by 1");
      assertThat(command.err())
          .filteredOn(line -> !line.contains("s to save and end")) // where the disk is slow
          .containsExactly("lockstep: stopped");
      assertNothingIsLeft(ranks);
    }
  }

  @Test
  void endsByForceWhatDoesNotStop() throws Exception {
    Promise.keptWithin(END, RunTest::untilEndOfWhatHangs);
  }

  private static Duration untilEndOfWhatHangs() throws Exception {
    try (CommandProcess command = run("--nproc-per-node=2", "test", "hang")) {
      List<Rank> ranks = command.ready(2);
      Signals.send("TERM", command.handle());
      Duration time = command.untilEnd();
      assertThat(command.exitCode()).isEqualTo(143);
      assertNothingIsLeft(ranks);
      return time;
    }
  }

  @Test
  void namesWhoHadNotSavedWhenItWasEndedByForce() throws Exception {
    Promise.keptWithin(END, RunTest::untilEndOfWhatNeverSaves);
  }

  private static Duration untilEndOfWhatNeverSaves() throws Exception {
    try (CommandProcess command =
        run("--nproc-per-node=2", "--stop-patience=0.2", "test", "keep")) {
      List<Rank> ranks = command.ready(2);
      Signals.send("TERM", command.handle());
      Duration time = command.untilEnd();
      assertThat(command.exitCode()).isEqualTo(143);
      assertThat(command.err())
          .hasSize(2)
          .contains("lockstep: stopped")
          .anyMatch(line -> line.contains("ranks=[0, 1], stopPatienceSeconds=0.2"));
      assertNothingIsLeft(ranks);
      return time;
    }
  }

  @Test
  void endsByForceAtASecondSignalToAllOfItsGroup() throws Exception {
    Promise.keptWithin(END, RunTest::untilEndOfWhatIsSignalledTwice);
  }

  private static Duration untilEndOfWhatIsSignalledTwice() throws Exception {
    try (CommandProcess command = run("test", "keep")) {
      List<Rank> ranks = command.ready(1);
      Signals.send("TERM", command.handle());
      Signals.send("TERM", hearing(command.handle()));
      Duration time = command.untilEnd();
      assertThat(command.exitCode()).isEqualTo(143);
      assertThat(command.err()).anyMatch(line -> line.contains("ended by force"));
      assertNothingIsLeft(ranks);
      return time;
    }
  }

  /// Waits for the child by which a launcher that is going down hears of a signal.
  private static ProcessHandle hearing(ProcessHandle launcher) {
    Deadline.until(() -> cat(launcher).isPresent());
    return cat(launcher).orElseThrow();
  }

  private static Optional<ProcessHandle> cat(ProcessHandle launcher) {
    return launcher.children().filter(RunTest::isCat).findFirst();
  }

  private static boolean isCat(ProcessHandle process) {
    return process.info().command().filter(command -> command.endsWith("cat")).isPresent();
  }

  @Test
  void leavesNothingWhenTheLauncherItselfIsKilled() throws Exception {
    try (CommandProcess command = run("--nproc-per-node=2", "test", "wait")) {
      List<Rank> ranks = command.ready(2);
      command.handle().destroyForcibly();
      for (Rank rank : ranks) {
        rank.process().ifPresent(process -> process.onExit().join());
      }
      assertNothingIsLeft(ranks);
    }
  }

  @Test
  void keepsTheOutputOfEachRank() throws Exception {
    try (CommandProcess command =
        run("--nproc-per-node=2", "--log-dir", temporary.toString(), "test", "fail", "1")) {
      assertThat(command.exitCode()).isEqualTo(1);
    }
    assertThat(temporary.resolve("rank0/stdout.log")).content().contains("ready pid=");
    assertThat(temporary.resolve("rank1/stdout.log")).content().contains("ready pid=");
    assertThat(temporary.resolve("rank1/stderr.log")).exists();
    assertThat(ErrorFile.readFirst(temporary.resolve("rank1/error.json"), 1, "here")).isPresent();
  }

  @Test
  void namesALogFolderThatCannotBeWritten() throws Exception {
    Path file = Files.writeString(temporary.resolve("file"), "");
    try (CommandProcess command = run("--log-dir", file.toString(), "test", "print")) {
      assertThat(command.exitCode()).isEqualTo(2);
      assertThat(command.err())
          .singleElement()
          .asString()
          .startsWith("lockstep: logs cannot be kept there: --log-dir=" + file)
          .contains("name a folder");
    }
  }

  @Test
  void makesItsFolderWhereItIsToldTo() throws Exception {
    try (CommandProcess command =
        run(Map.of("LOCKSTEP_JOB_DIR", temporary.toString()), "test", "print")) {
      assertThat(command.exitCode()).as("%s", command.err()).isZero();
    }
    assertThat(temporary).isEmptyDirectory();
    Path none = temporary.resolve("none");
    try (CommandProcess command =
        run(Map.of("LOCKSTEP_JOB_DIR", none.toString()), "test", "print")) {
      assertThat(command.exitCode()).isEqualTo(2);
      assertThat(command.err())
          .singleElement()
          .asString()
          .startsWith("lockstep: job folder cannot be made: parent=" + none)
          .contains("LOCKSTEP_JOB_DIR");
    }
  }

  @Test
  void takesNoEarlierJobsErrorFileForItsOwnFailure() throws Exception {
    Path errorFile = temporary.resolve("rank0/error.json");
    FailureRecord earlier = FailureRecord.of(0, "here", new IllegalStateException("earlier"), "");
    ErrorFile.write(errorFile, earlier, earlier);
    try (CommandProcess command =
        run("--jvm-arg=-XX:NoSuchFlag", "--log-dir", temporary.toString(), "test", "print")) {
      assertThat(command.exitCode()).isEqualTo(1);
      assertThat(command.err())
          .filteredOn(line -> line.startsWith("lockstep:"))
          .singleElement()
          .asString()
          .contains("rank 0 of 1 failed: process ended: exitCode=1");
    }
    assertThat(ErrorFile.readFirst(errorFile, 0, "here"))
        .hasValueSatisfying(now -> assertThat(now.message()).contains("exitCode=1"));
  }

  @Test
  void givesRanksTheVariablesOfTorchrunAndLockstep() throws Exception {
    Path file = temporary.resolve("environment");
    try (CommandProcess command =
        run(
            Map.of("SLURM_JOB_ID", "7"),
            "--nproc-per-node=2",
            "--rdzv-id=mine",
            "test",
            "environment",
            "0",
            file.toString())) {
      assertThat(command.exitCode()).as("%s", command.err()).isZero();
    }
    assertThat(Path.of(file + ".1"))
        .content()
        .contains("\nRANK=1\n", "\nLOCAL_RANK=1\n", "\nWORLD_SIZE=2\n", "\nMASTER_ADDR=127.0.0.1\n")
        .contains("TORCHELASTIC_RUN_ID=mine\n", "LOCKSTEP_JOB_DIR=")
        .doesNotContain("SLURM_JOB_ID", "LOCKSTEP_JOB_TOKEN=");
  }

  @Test
  void bindsEachRankToCoresOfItsOwn() throws Exception {
    int ranks = 2;
    assumeTrue(
        CoreShares.refusal(ranks).isEmpty(), () -> "cannot bind: " + CoreShares.refusal(ranks));
    Path file = temporary.resolve("processors");
    try (CommandProcess command =
        run("--nproc-per-node=2", "--bind=cores", "test", "processors", "0", file.toString())) {
      assertThat(command.exitCode()).as("%s", command.err()).isZero();
    }
    String first = Files.readString(Path.of(file + ".0"));
    String second = Files.readString(Path.of(file + ".1"));
    List<List<Integer>> cores =
        CoreShares.cores(CoreShares.online(Processors.own(), SYSTEM), SYSTEM);
    assertThat(List.of(first, second))
        .containsExactly(
            CoreShares.share(cores, 0, ranks).toString(),
            CoreShares.share(cores, 1, ranks).toString())
        .doesNotHaveDuplicates();
  }

  @Test
  void saysWhyItCannotBindRanks() throws Exception {
    try (CommandProcess command = run("--nproc-per-node=1024", "--bind=cores", "test", "print")) {
      assertThat(command.exitCode()).isEqualTo(2);
      assertThat(command.err())
          .singleElement()
          .asString()
          .contains("ranks cannot be bound: --bind=cores", "ranks=1024", "start fewer ranks");
    }
  }

  @Test
  void becomesOneRankUnderAnotherLauncher() throws Exception {
    Map<String, String> torchrun =
        Map.of("RANK", "0", "WORLD_SIZE", "1", "LOCAL_RANK", "0", "LOCAL_WORLD_SIZE", "1");
    try (CommandProcess command = CommandProcess.start(torchrun, "run", "test", "fail", "0")) {
      List<Rank> ranks = command.ready(1);
      assertThat(ranks.getFirst().pid()).isEqualTo(command.handle().pid());
      assertThat(command.exitCode()).isEqualTo(1);
      assertThat(command.err().stream().filter(line -> line.startsWith("lockstep:")))
          .singleElement()
          .asString()
          .startsWith("lockstep: rank 0 of 1 failed: IllegalStateException: boom");
      assertNothingIsLeft(ranks);
    }
  }

  @Test
  void formsOneJobOfTwoLaunchersAndNamesTheFailureOnBoth() throws Exception {
    byte[] random = new byte[32];
    new Random(7).nextBytes(random);
    assertThatThrownBy(() -> UTF_8.newDecoder().decode(ByteBuffer.wrap(random)))
        .isInstanceOf(CharacterCodingException.class);
    Path token = token(random);
    try (CommandProcess first = node(0, token, "test", "fail", "1");
        CommandProcess second = node(1, token, "test", "fail", "1")) {
      assertBothName("lockstep: rank 1 of 2 failed: IllegalStateException: boom", first, second);
    }
  }

  @Test
  void endsARankOfAnotherNodeThatNoticesNoFailureAndNamesTheFailureOnBoth() throws Exception {
    Path token = token(new byte[32]);
    try (CommandProcess first = node(0, token, "test", "strand", "0");
        CommandProcess second = node(1, token, "test", "strand", "0")) {
      assertBothName("lockstep: rank 0 of 2 failed: IllegalStateException: boom", first, second);
    }
  }

  private static void assertBothName(String failure, CommandProcess first, CommandProcess second)
      throws Exception {
    List<Rank> ranks = new ArrayList<>(first.ready(1));
    ranks.addAll(second.ready(1));
    assertThat(first.exitCode()).isEqualTo(1);
    assertThat(second.exitCode()).isEqualTo(1);
    for (CommandProcess node : List.of(first, second)) {
      assertThat(node.err())
          .as("%s", node.err())
          .filteredOn(line -> line.startsWith("lockstep:"))
          .singleElement()
          .asString()
          .startsWith(failure);
    }
    assertNothingIsLeft(ranks);
  }

  @Test
  void endsOnBothNodesWhenNoRankComesToTheJob() throws Exception {
    Path token = token(new byte[32]);
    String wrong = "--jvm-arg=-XX:NoSuchFlag";
    try (CommandProcess first = node(0, token, wrong, "test", "print");
        CommandProcess second = node(1, token, wrong, "test", "print")) {
      for (CommandProcess node : List.of(first, second)) {
        assertThat(node.exitCode()).isEqualTo(1);
      }
      assertThat(first.err()).anyMatch(line -> line.contains("rank 0 of 2 failed: process ended"));
      assertThat(second.err()).anyMatch(line -> line.contains("rank 1 of 2 failed: process ended"));
    }
  }

  private Path token(byte[] bytes) throws IOException {
    Path token = temporary.resolve("token");
    Files.createFile(
        token, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    return Files.write(token, bytes);
  }

  private CommandProcess node(int nodeRank, Path token, String... arguments) throws IOException {
    List<String> all =
        new ArrayList<>(
            List.of("--nnodes=2", "--node-rank=" + nodeRank, "--rdzv-endpoint=127.0.0.1:" + port));
    all.addAll(List.of(arguments));
    return run(Map.of("LOCKSTEP_JOB_TOKEN_FILE", token.toString()), all.toArray(String[]::new));
  }
}
