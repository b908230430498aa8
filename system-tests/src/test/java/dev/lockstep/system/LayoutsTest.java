package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// One recipe, ranks as processes, one SHA-256.
class LayoutsTest {
  @TempDir Path folder;

  private record Layout(int ranks, String transport, int threads) {}

  /// What a run ends in.
  private record Result(String weights, String optimizer) {}

  private Result run(TinyJob job, int lanes, Layout layout) throws Exception {
    String[] options =
        job.gpt(
            "%d-%s".formatted(lanes, layout).replaceAll("[^a-zA-Z0-9]+", "-"),
            "--lanes=" + lanes,
            "--steps=4",
            "--save-every=0",
            "--threads=" + layout.threads,
            "--transport=" + layout.transport);
    try (Command command =
        Command.lockstep(
            TinyJob.with(List.of("run", "--nproc-per-node=" + layout.ranks), options))) {
      command.done();
      assertThat(command.printed(layout.ranks + " ranks"))
          .contains(layout.ranks == 1 ? "lanes" : "over " + layout.transport)
          .endsWith(layout.threads == 1 ? "1 thread" : layout.threads + " threads");
      return new Result(command.printed("weights sha256"), command.printed("optimizer sha256"));
    }
  }

  private void allEndAlike(int lanes, List<Layout> layouts) throws Exception {
    TinyJob job = new TinyJob(folder);
    List<Result> results = new ArrayList<>();
    for (Layout layout : layouts) {
      Result result = run(job, lanes, layout);
      results.add(result);
      assertThat(result.weights).matches("[0-9a-f]{64}");
      assertThat(result).as("lanes=%d, %s", lanes, layout).isEqualTo(results.getFirst());
    }
  }

  @Tag("long")
  @Test
  @Timeout(300)
  void oneToFourProcessesEndInTheSameBitsOverEachTransport() throws Exception {
    allEndAlike(
        5,
        List.of(
            new Layout(1, "shm", 2),
            new Layout(2, "aeron-ipc", 1),
            new Layout(3, "aeron-udp", 2),
            new Layout(4, "shm", 1)));
  }

  @Tag("long")
  @Test
  @Timeout(120)
  void expertsOnTwoProcessesEndInTheBitsOfOne() throws Exception {
    TinyJob job = new TinyJob(folder);
    List<Result> results = new ArrayList<>();
    for (String mesh : List.of("dp=1", "ep=2")) {
      String[] options =
          job.gpt(mesh, "--mesh=" + mesh, "--steps=4", "--save-every=0", "--experts=4");
      options[0] = "moe";
      String ranks = mesh.substring(mesh.indexOf('=') + 1);
      try (Command command =
          Command.lockstep(TinyJob.with(List.of("run", "--nproc-per-node=" + ranks), options))) {
        command.done();
        results.add(
            new Result(command.printed("weights sha256"), command.printed("optimizer sha256")));
      }
    }
    assertThat(results.getLast()).isEqualTo(results.getFirst());
  }

  @Tag("long")
  @Test
  @Timeout(300)
  void libfabricEndsInTheBitsOfSharedMemory() throws Exception {
    Libfabric.require("ofi:tcp");
    allEndAlike(5, List.of(new Layout(2, "shm", 1), new Layout(3, "ofi:tcp", 1)));
  }
}
