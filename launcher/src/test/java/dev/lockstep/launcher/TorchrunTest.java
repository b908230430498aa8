package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.process.JavaCommand;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// The real torchrun starts ranks of ours.
@Timeout(120)
final class TorchrunTest {
  /// Does not import it, which takes seconds.
  private static final String FINDS_TORCH =
      "import importlib.util, sys; sys.exit(not importlib.util.find_spec('torch'))";

  // The job computes nothing: its ranks start sooner when nothing is optimized.
  private static final List<String> SOON = List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC");

  private record Ended(int exitCode, String output) {}

  @BeforeAll
  static void torchrunIsThere() throws Exception {
    assumeTrue(
        Files.isExecutable(python()) && run(List.of("-c", FINDS_TORCH)).exitCode() == 0,
        "judge torchrun: no Python with torch (set LOCKSTEP_PYTHON, or run .ci/run once)");
  }

  private static Path python() {
    String given = System.getenv("LOCKSTEP_PYTHON");
    return given == null || given.isBlank()
        ? Path.of(System.getProperty("lockstep.home", "."), "target", "venv", "bin", "python")
        : Path.of(given);
  }

  private static Ended run(List<String> arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(python().toString());
    command.addAll(arguments);
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    Process process = builder.start();
    process.getOutputStream().close();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return new Ended(process.waitFor(), output);
  }

  private static Ended torchrun(String... arguments) throws IOException, InterruptedException {
    List<String> command =
        new ArrayList<>(List.of("-m", "torch.distributed.run", "--no-python", "--standalone"));
    command.add("--nproc-per-node=2");
    List<String> words = new ArrayList<>(List.of("run", "test"));
    words.addAll(List.of(arguments));
    command.addAll(JavaCommand.of(SOON, Main.class.getName(), words));
    return run(command);
  }

  @Test
  void makesTheCommandARank() throws Exception {
    Ended ended = torchrun("print");
    assertThat(ended.exitCode()).as(ended.output()).isZero();
    assertThat(ended.output().split("ready pid=", -1)).hasSize(3);
  }

  @Test
  void showsTheJavaStackOfTheRankThatFailedFirst() throws Exception {
    Ended ended = torchrun("fail", "1");
    assertThat(ended.exitCode()).isNotZero();
    assertThat(ended.output())
        .containsOnlyOnce("lockstep: rank 1 of 2 failed: IllegalStateException: boom: step=7")
        .contains("lockstep: rank 0 ends, because rank 1 failed: boom: step=7");
    String rootCause = ended.output().substring(ended.output().indexOf("Root Cause"));
    assertThat(rootCause)
        .contains("rank      : 1", "IllegalStateException: boom: step=7", "TestJob.fail");
  }
}
