package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

final class WorkerEnvironmentTest {
  private static WorkerEnvironment node(int nodeRank) {
    return node(nodeRank, 2, Map.of());
  }

  private static WorkerEnvironment node(int nodeRank, int nodes, Map<String, String> surroundings) {
    LaunchOptions options =
        new LaunchOptions(
            new RankLayout(nodes, 3),
            new Rendezvous(nodeRank, "node-0", 4711, "mine"),
            new RankProcesses(
                List.of(), null, OptionalInt.of(99), Duration.ofSeconds(5), Binding.NONE),
            surroundings);
    return new WorkerEnvironment(
        options, "mine", 4711, Path.of("/private/token"), Path.of("/private"));
  }

  @Test
  void setsWhatTorchrunSets() {
    assertThat(node(1).of(2, Path.of("/private/error.json")))
        .containsEntry("RANK", "5")
        .containsEntry("LOCAL_RANK", "2")
        .containsEntry("WORLD_SIZE", "6")
        .containsEntry("LOCAL_WORLD_SIZE", "3")
        .containsEntry("GROUP_RANK", "1")
        .containsEntry("GROUP_WORLD_SIZE", "2")
        .containsEntry("ROLE_RANK", "5")
        .containsEntry("ROLE_NAME", "default")
        .containsEntry("ROLE_WORLD_SIZE", "6")
        .containsEntry("MASTER_ADDR", "node-0")
        .containsEntry("MASTER_PORT", "4711")
        .containsEntry("TORCHELASTIC_RUN_ID", "mine")
        .containsEntry("TORCHELASTIC_RESTART_COUNT", "0")
        .containsEntry("TORCHELASTIC_MAX_RESTARTS", "0")
        .containsEntry("TORCHELASTIC_USE_AGENT_STORE", "True")
        .containsEntry("TORCHELASTIC_ERROR_FILE", "/private/error.json");
  }

  @Test
  void setsWhatLockstepNeeds() {
    assertThat(node(0).of(0, Path.of("e")))
        .containsEntry("LOCKSTEP_STORE_PORT", "4711")
        .containsEntry("LOCKSTEP_JOB_TOKEN_FILE", "/private/token")
        .containsEntry("LOCKSTEP_JOB_DIR", "/private")
        .containsEntry("LOCKSTEP_STOP_PATIENCE_MS", "7000");
  }

  @Test
  void tellsOnlyRankZeroOfTheTerminal() {
    assertThat(node(0).of(0, Path.of("e"))).containsEntry("LOCKSTEP_TERMINAL", "99");
    assertThat(node(0).of(1, Path.of("e"))).doesNotContainKey("LOCKSTEP_TERMINAL");
  }

  @Test
  void ncclOfRanksOnOneNodeIsNotHeardOutsideUnlessTheUserSaysSo() {
    assertThat(node(0, 1, Map.of()).of(1, Path.of("e")))
        .containsEntry("NCCL_SOCKET_IFNAME", "lo")
        .containsEntry("NCCL_RAS_ENABLE", "0");
    assertThat(node(0, 1, Map.of("NCCL_SOCKET_IFNAME", "eth0")).of(1, Path.of("e")))
        .doesNotContainKey("NCCL_SOCKET_IFNAME")
        .containsEntry("NCCL_RAS_ENABLE", "0");
    assertThat(node(0, 2, Map.of()).of(1, Path.of("e")))
        .doesNotContainKeys("NCCL_SOCKET_IFNAME", "NCCL_RAS_ENABLE");
  }

  @Test
  void withholdsWhatOtherLaunchersSaid() {
    Map<String, String> surroundings =
        Map.of("SLURM_PROCID", "3", "OMPI_COMM_WORLD_RANK", "3", "PMI_RANK", "3", "HOME", "/h");
    assertThat(WorkerEnvironment.withheld(surroundings))
        .containsExactlyInAnyOrder("SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK");
  }
}
