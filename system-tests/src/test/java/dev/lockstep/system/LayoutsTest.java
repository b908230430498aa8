package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
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

  private void allEndAlike(List<Integer> laneCounts, List<Layout> layouts) throws Exception {
    TinyJob job = new TinyJob(folder);
    Map<Integer, Result> first = new HashMap<>();
    for (int lanes : laneCounts) {
      for (Layout layout : layouts) {
        Result result = run(job, lanes, layout);
        assertThat(result.weights).matches("[0-9a-f]{64}");
        first.putIfAbsent(lanes, result);
        assertThat(result).as("lanes=%d, %s", lanes, layout).isEqualTo(first.get(lanes));
      }
    }
    assertThat(first.values()).doesNotHaveDuplicates();
  }

  @Test
  @Timeout(300)
  void oneToFourProcessesEndInTheSameBits() throws Exception {
    allEndAlike(
        List.of(5),
        List.of(
            new Layout(1, "shm", 2),
            new Layout(2, "shm", 1),
            new Layout(3, "aeron-udp", 1),
            new Layout(4, "aeron-ipc", 2)));
  }

  @Test
  @Timeout(300)
  void libfabricEndsInTheBitsOfSharedMemory() throws Exception {
    Libfabric.require("ofi:tcp");
    allEndAlike(List.of(5), List.of(new Layout(2, "shm", 1), new Layout(3, "ofi:tcp", 1)));
  }

  @Test
  @Tag("long")
  @Timeout(600)
  void everyProviderOfLibfabricEndsInTheSameBits() throws Exception {
    Libfabric.require("ofi:tcp");
    List<Layout> layouts = new ArrayList<>(List.of(new Layout(1, "shm", 1)));
    for (String provider : List.of("tcp", "shm", "udp", "net")) {
      layouts.add(new Layout(2, "ofi:" + provider, 1));
      layouts.add(new Layout(4, "ofi:" + provider, 1));
    }
    allEndAlike(List.of(5), layouts);
  }

  @Test
  @Tag("long")
  @Timeout(900)
  void everyWorldSizeTransportAndThreadCountEndsInTheSameBits() throws Exception {
    List<Layout> layouts = new ArrayList<>(List.of(new Layout(1, "shm", 1)));
    for (int ranks = 2; ranks <= 4; ranks++) {
      for (String transport : List.of("shm", "aeron-ipc", "aeron-udp")) {
        layouts.add(new Layout(ranks, transport, 1 + ranks % 2));
        layouts.add(new Layout(ranks, transport, 2 - ranks % 2));
      }
    }
    allEndAlike(List.of(4, 5), layouts);
  }
}
