package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class LockstepCommandTest {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private final ByteArrayOutputStream err = new ByteArrayOutputStream();

  private int execute(Map<String, String> environment, String words) {
    PrintStream outStream = new PrintStream(out, true, StandardCharsets.UTF_8);
    PrintStream errStream = new PrintStream(err, true, StandardCharsets.UTF_8);
    List<String> arguments = words.isEmpty() ? List.of() : List.of(words.split(" "));
    return new LockstepCommand(environment, outStream, errStream, () -> false).execute(arguments);
  }

  private int execute(String words) {
    return execute(Map.of(), words);
  }

  private String out() {
    return out.toString(StandardCharsets.UTF_8);
  }

  private String err() {
    return err.toString(StandardCharsets.UTF_8);
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(
      strings = {
        "--log-dir=x",
        "--log_dir=x",
        "--jvm-arg=-Xmx1g",
        "--rdzv-endpoint=h:1",
        "--rdzv-id=x",
        "--node-rank=1",
        "--max-restarts=3",
        "--standalone"
      })
  void refusesWhatARankOfAnotherLauncherCannotHeed(String option) {
    Map<String, String> torchrun = Map.of("RANK", "0", "WORLD_SIZE", "1");
    assertThat(execute(torchrun, "run " + option + " test print")).isEqualTo(2);
    assertThat(err())
        .contains("another launcher has made this process a rank")
        .contains("heeds no " + option.split("=", 2)[0]);
  }

  private int executeUnwritable(String words, boolean isRead) {
    OutputStream full =
        new OutputStream() {
          @Override
          public void write(int b) throws IOException {
            throw new IOException("No space left on device");
          }
        };
    PrintStream outStream = new PrintStream(full, false, StandardCharsets.UTF_8);
    PrintStream errStream = new PrintStream(err, true, StandardCharsets.UTF_8);
    return new LockstepCommand(Map.of(), outStream, errStream, () -> isRead)
        .execute(List.of(words.split(" ")));
  }

  @ParameterizedTest(name = "lockstep {0}")
  @CsvSource({"--help, 1", "echo a b, 2"})
  void resultsThatCannotBeWrittenAreAFailure(String words, int code) {
    assertThat(executeUnwritable(words, false)).isEqualTo(code);
    assertThat(err())
        .containsOnlyOnce("lockstep: results could not be written to standard output: ");
  }

  @ParameterizedTest(name = "lockstep {0}")
  @CsvSource({"--help, 141", "echo a b, 2"})
  void resultsThatNobodyReadsAnyMoreAreNotSpokenOf(String words, int code) {
    assertThat(executeUnwritable(words, true)).isEqualTo(code);
    assertThat(err()).isEmpty();
  }

  @ParameterizedTest(name = "lockstep {0}")
  @ValueSource(strings = {"", "--help", "-h"})
  void listsTheVerbsOfAllModules(String words) {
    assertThat(execute(words)).isZero();
    assertThat(out()).containsOnlyOnce("Usage:").contains("run", "doctor", "echo", "Prints its");
    assertThat(out()).doesNotContain("\033");
    assertThat(err()).isEmpty();
  }

  @Test
  void listsTheJobsWithRun() {
    assertThat(execute("run --help")).isZero();
    assertThat(out())
        .containsOnlyOnce("Usage:")
        .contains("--nproc-per-node", "test         Ends as it is told.")
        .doesNotContain("--nproc_per_node", "--role");
  }

  @Test
  void showsTheHelpOfAJob() {
    assertThat(execute("run --nproc-per-node 2 test --help")).isZero();
    assertThat(out().strip()).isEqualTo("Usage: lockstep run test WHAT [RANK] [PATH]");
  }

  @Test
  void runsVerbsOfOtherModules() {
    assertThat(execute("echo --help me")).isEqualTo(2);
    assertThat(out().strip()).isEqualTo("--help me");
  }

  @Test
  void endsWithCodeTwoForWrongInputOfOtherModules() {
    assertThat(execute("echo")).isEqualTo(2);
    assertThat(err().strip()).isEqualTo("lockstep: nothing to echo: words=0 (give one)");
  }

  @ParameterizedTest(name = "lockstep {0}")
  @CsvSource(
      delimiter = '|',
      value = {
        "trian | unknown verb: trian (see lockstep --help)",
        "--verbose | unknown option: --verbose, did you mean --version? (see lockstep --help)",
        "run | job is missing: JOB (jobs: test)",
        "run nothing | unknown job: job=nothing (jobs: test)",
        "run --nprocs 2 test | unknown option: --nprocs",
        "run --nproc-per-node | missing required parameter",
        "run --nproc-per-node=0 test print | --nproc-per-node=0: it must be a whole number from 1",
        "run --nproc-per-node=gpu test print | --nproc-per-node=gpu",
        "run --nnodes=2 test print | several nodes need --node-rank",
        "run --nnodes=2 --node-rank=0 test print | several nodes need --rdzv-endpoint",
        "run --nnodes=1:4 test print | --nnodes=1:4: the number of nodes is fixed",
        "run --nnodes=2 --standalone test print | contradict --standalone",
        "run --node-rank=1 test print | --node-rank=1, --nnodes=1",
        "run --rdzv-endpoint=h:99999 test print | it must be a whole number from 0 to 65535",
        "run --rdzv-backend etcd test print | --rdzv-backend=etcd",
        "run --rdzv_backend etcd test print | --rdzv-backend=etcd",
        "run --max-restarts=3 test print | --max-restarts=3: ranks are not restarted",
      })
  void refusesWrongInputInOneSentence(String words, String sentence) {
    assertThat(execute(words)).isEqualTo(2);
    assertThat(err()).startsWith("lockstep: ").contains(sentence).hasLineCount(1);
    assertThat(out()).isEmpty();
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(
      strings = {
        "--master-addr h",
        "--master_port 1",
        "--rdzv-conf k=v",
        "--monitor-interval 1",
        "--start-method spawn",
        "--role r",
        "-m",
        "--no-python",
        "--run-path",
        "--redirects 3",
        "-r 3",
        "--tee 3",
        "--local-ranks-filter 0",
        "--local-addr h",
        "--numa-binding node",
        "--signals-to-handle SIGTERM",
        "--event-log-handler null",
      })
  void refusesFlagsOfTorchrunByName(String flag) {
    assertThat(execute("run " + flag + " test print")).isEqualTo(2);
    assertThat(err())
        .startsWith("lockstep: flag of torchrun that lockstep run does not have: -")
        .containsPattern("\\(.+\\)$")
        .hasLineCount(1);
  }

  @Test
  void startsNoRanksWhereItIsOne() {
    Map<String, String> torchrun = Map.of("RANK", "1", "WORLD_SIZE", "2");
    assertThat(execute(torchrun, "run --nproc-per-node=2 test print")).isEqualTo(2);
    assertThat(err()).contains("RANK=1, --nproc-per-node=2").hasLineCount(1);
  }

  @Test
  void asksForATokenThatAllNodesKnow() {
    String nodes = "run --nnodes=2 --node-rank=0 --rdzv-endpoint=127.0.0.1:29400 test print";
    assertThat(execute(nodes)).isEqualTo(2);
    assertThat(err()).contains("LOCKSTEP_JOB_TOKEN_FILE is not set").hasLineCount(1);
  }

  @Test
  void startsNoRanksWithATokenThatOthersMayRead(@TempDir Path folder) throws IOException {
    Path token = Files.writeString(folder.resolve("token"), "what all ranks of this job know");
    Files.setPosixFilePermissions(token, PosixFilePermissions.fromString("rw-r--r--"));
    Map<String, String> environment = Map.of("LOCKSTEP_JOB_TOKEN_FILE", token.toString());
    assertThat(execute(environment, "run test print")).isEqualTo(2);
    assertThat(err()).contains("others may open a private path").hasLineCount(1);
  }
}
