package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.process.Ports;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// The main job started by launchers of others ends in the bits that Lockstep's own ends in.
@Timeout(180)
class OtherLaunchersTest {
  @TempDir static Path folder;
  private static TinyJob job;
  private static String expected;

  @BeforeAll
  static void runByOurOwnLauncher() throws Exception {
    job = new TinyJob(folder);
    // One rank: the number of ranks changes no bit.
    try (Command command = Command.lockstep(TinyJob.with(List.of("run"), options("lockstep")))) {
      expected = command.done().printed("weights sha256");
    }
  }

  private static String[] options(String run) {
    return job.gpt(run, "--steps=4", "--save-every=0", "--threads=1");
  }

  private static List<String> rank(String run) {
    return Command.lockstepProgram(TinyJob.with(List.of("run"), options(run)));
  }

  private static boolean isThere(String... program) throws InterruptedException {
    try {
      Process process = new ProcessBuilder(program).redirectErrorStream(true).start();
      process.getInputStream().readAllBytes();
      return process.waitFor() == 0;
    } catch (IOException _) {
      return false;
    }
  }

  @Test
  void underSlurmsVariables() throws Exception {
    String port = "" + Ports.free();
    String token = Rendezvous.token(folder).toString();
    List<Command> ranks = new ArrayList<>();
    try {
      for (int rank = 0; rank < 2; rank++) {
        Map<String, String> slurm =
            Map.of(
                "SLURM_PROCID",
                Integer.toString(rank),
                "SLURM_NTASKS",
                "2",
                "SLURM_LOCALID",
                Integer.toString(rank),
                "SLURM_NNODES",
                "1",
                "SLURM_JOB_ID",
                "7",
                "MASTER_ADDR",
                "127.0.0.1",
                "MASTER_PORT",
                port,
                "LOCKSTEP_JOB_TOKEN_FILE",
                token);
        ranks.add(Command.start(slurm, rank("slurm")));
      }
      for (Command rank : ranks) {
        rank.done();
      }
      assertThat(ranks.getFirst().printed("2 ranks")).contains("over shm");
      assertThat(ranks.getFirst().printed("weights sha256")).isEqualTo(expected);
    } finally {
      ranks.forEach(Command::close);
    }
  }

  @Test
  @Tag("long")
  void underTheRealMpirun() throws Exception {
    assumeTrue(isThere("mpirun", "--version"), "judge mpirun: Open MPI is not installed");
    Map<String, String> environment =
        Map.of(
            "OMPI_ALLOW_RUN_AS_ROOT", "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1",
            "MASTER_ADDR", "127.0.0.1",
            "MASTER_PORT", "" + Ports.free(),
            "LOCKSTEP_JOB_TOKEN_FILE", Rendezvous.token(folder).toString());
    List<String> program = new ArrayList<>(List.of("mpirun", "-np", "2", "--oversubscribe"));
    for (String name : List.of("MASTER_ADDR", "MASTER_PORT", "LOCKSTEP_JOB_TOKEN_FILE")) {
      program.addAll(List.of("-x", name));
    }
    program.addAll(rank("mpirun"));
    try (Command command = Command.start(environment, program)) {
      assertThat(command.done().printed("weights sha256")).isEqualTo(expected);
      assertThat(command.printed("2 ranks")).contains("over shm");
    }
  }

  @Test
  @Tag("long")
  void underTheRealTorchrun() throws Exception {
    String named = System.getenv("LOCKSTEP_PYTHON");
    String home = System.getProperty("lockstep.home", "..");
    String python = named == null ? home + "/target/venv/bin/python" : named;
    assumeTrue(
        isThere(python, "-c", "import torch"),
        "judge torchrun: no Python with torch (set LOCKSTEP_PYTHON, or run .ci/run once)");
    List<String> program = new ArrayList<>(List.of(python, "-m", "torch.distributed.run"));
    program.addAll(Arrays.asList("--no-python", "--standalone", "--nproc-per-node=2"));
    program.addAll(rank("torchrun"));
    try (Command command = Command.start(Map.of(), program)) {
      assertThat(command.done().printed("weights sha256")).isEqualTo(expected);
      assertThat(command.printed("2 ranks")).contains("over shm");
    }
  }
}
