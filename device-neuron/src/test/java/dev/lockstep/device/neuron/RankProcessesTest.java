package dev.lockstep.device.neuron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.process.JavaCommand;
import dev.lockstep.process.Ports;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Ranks as processes, each with a core of its own.
@Tag("long")
@Timeout(120)
final class RankProcessesTest {
  // The stand-in computes in binary64 and keeps binary32 between programs.
  private static final double TOLERANCE = 5e-5;

  @TempDir private Path folder;
  private Path text;

  @BeforeEach
  void writeText() throws IOException {
    assumeTrue(StandIn.hasCompiler(), "judge cc: no C compiler (apt-get install gcc libc6-dev)");
    text = Files.createDirectory(folder.resolve("text"));
    for (int file = 0; file < 20; file++) {
      Files.writeString(text.resolve("f" + file + ".txt"), "abc de fgh ".repeat(100 + file));
    }
  }

  private Process start(int rank, int ranks, int port) throws IOException {
    ProcessBuilder builder =
        new ProcessBuilder(
            JavaCommand.of(
                List.of(
                    "--add-modules=jdk.incubator.vector",
                    "--enable-native-access=ALL-UNNAMED",
                    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
                    "-Xmx256m"),
                RankProcess.class.getName(),
                List.of(text.toString(), folder.resolve("cache").toString())));
    Map<String, String> environment = builder.environment();
    environment.put("RANK", "" + rank);
    environment.put("LOCAL_RANK", "" + rank);
    environment.put("WORLD_SIZE", "" + ranks);
    environment.put("LOCAL_WORLD_SIZE", "" + ranks);
    environment.put("MASTER_ADDR", "127.0.0.1");
    environment.put("MASTER_PORT", "" + port);
    environment.put("STANDIN_CORES", folder.toString());
    return builder.redirectErrorStream(true).redirectOutput(said(rank).toFile()).start();
  }

  private Path said(int rank) {
    return folder.resolve("said-" + rank);
  }

  @Test
  void eachProcessTakesTheCoreOfItsLocalRank() throws Exception {
    List<Double> expected;
    try (Job job = Job.inProcess(1, JobConfig.of(Map.of())).getFirst()) {
      expected = RankProcess.losses(job, "cpu", text, folder.resolve("cache"), () -> {});
    }
    int port = Ports.free();
    List<Process> ranks = new ArrayList<>();
    try {
      for (int rank = 0; rank < 2; rank++) {
        ranks.add(start(rank, 2, port));
      }
      for (int rank = 0; rank < 2; rank++) {
        int code = ranks.get(rank).waitFor();
        String output = Files.readString(said(rank));
        assertThat(code).as(output).isZero();
        assertThat(output).contains("core=Optional[" + rank + "]");
        double[] losses = losses(output);
        assertThat(losses).hasSize(RankProcess.STEPS);
        for (int step = 0; step < losses.length; step++) {
          assertThat(losses[step]).isCloseTo(expected.get(step), within(TOLERANCE));
        }
      }
      assertThat(folder.resolve("core-0")).exists();
      assertThat(folder.resolve("core-1")).exists();
    } finally {
      ranks.forEach(Process::destroyForcibly);
    }
  }

  private static double[] losses(String output) {
    String line =
        output.lines().filter(each -> each.startsWith("losses=[")).findFirst().orElseThrow();
    return Arrays.stream(line.substring("losses=[".length(), line.length() - 1).split(", "))
        .mapToDouble(Double::parseDouble)
        .toArray();
  }

  @Test
  void aCoreThatAnotherProcessHasIsSaidToBeTaken() throws Exception {
    Path taken = folder.resolve("core-0");
    try (FileChannel channel =
            FileChannel.open(taken, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        FileLock lock = channel.lock()) {
      assertThat(lock.isValid()).isTrue();
      Process rank = start(0, 1, Ports.free());
      try {
        assertThat(rank.waitFor()).isNotZero();
      } finally {
        rank.destroyForcibly();
      }
      assertThat(said(0))
          .content()
          .contains(
              "the core is taken by another process: function=nrt_init, status=1005 NC_BUSY,"
                  + " device=neuron:0");
    }
  }
}
