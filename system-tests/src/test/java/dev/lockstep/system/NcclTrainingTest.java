package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.device.cuda.ffi.StandInCounts;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.system.StandInGpus.Result;
import dev.lockstep.train.Layout;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.model.GptShape;
import java.nio.file.Path;
import java.util.Collections;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Whole training steps whose collectives run on the GPUs, by the stand-ins for CUDA's libraries
/// and for NCCL, with ranks as threads: the bits of one CPU rank.
@Timeout(120)
class NcclTrainingTest {
  private static final int LANES = 5;

  private static Result alone;

  @TempDir Path folder;

  @BeforeAll
  static void takeTheStandIns(@TempDir Path folder) throws Exception {
    StandInGpus.take();
    StandInGpus.takeNccl();
    alone = StandInGpus.train(folder, gpt(), Layout.dataParallel(), "cpu");
  }

  @AfterAll
  static void leaveThem() {
    StandInGpus.leave();
  }

  private static Recipe gpt() {
    return StandInGpus.recipe(new GptShape(2, 2, 16, 12, 256, true), LANES);
  }

  private static String[] gpus(int ranks) {
    return Collections.nCopies(ranks, "cuda").toArray(String[]::new);
  }

  /// Trains on one CPU rank and on these devices, and returns how much NCCL did.
  private long endsInTheBitsOfOneCpuRank(Layout layout, String... devices) throws Exception {
    long before = StandInCounts.ncclOperations();
    assertThat(StandInGpus.train(folder, gpt(), layout, devices)).isEqualTo(alone);
    return StandInCounts.ncclOperations() - before;
  }

  @ParameterizedTest(name = "ranks={0}, --mesh {1} --zero {2}")
  @CsvSource({"2, 'dp=2', 0", "3, 'dp=3', 1", "2, 'dp=2', 3", "2, 'tp=2', 0"})
  void stepsHaveTheBitsOfOneRank(int ranks, String mesh, int zero) throws Exception {
    Layout layout = Layout.parse(mesh).withZero(zero);
    assertThat(endsInTheBitsOfOneCpuRank(layout, gpus(ranks))).isPositive();
  }

  @Tag("long")
  @ParameterizedTest(name = "ranks={0}, --mesh {1} --zero {2}")
  @CsvSource({
    "3, 'dp=3', 0",
    "4, 'dp=4', 0",
    "2, 'dp=2', 2",
    "3, 'dp=3', 2",
    "4, 'dp=4', 3",
    "4, 'dp=2,tp=2', 0",
    "4, 'dp=2,tp=2', 3",
    "4, 'dp=2,tp=2', 1",
    "2, 'pp=2', 0",
    "4, 'dp=2,pp=2', 1"
  })
  void stepsHaveTheBitsOfOneRankOverMoreLayouts(int ranks, String mesh, int zero) throws Exception {
    Layout layout = Layout.parse(mesh).withZero(zero);
    assertThat(endsInTheBitsOfOneCpuRank(layout, gpus(ranks))).isPositive();
  }

  /// Ranks on a CPU have no NCCL: all meet on the host.
  @Test
  void aCpuRankLeadsAllThroughTheHost() throws Exception {
    Layout sharded = Layout.dataParallel().withZero(1);
    assertThat(endsInTheBitsOfOneCpuRank(sharded, "cuda", "cpu")).isZero();
  }

  @Test
  void aRankThatFailsEndsThoseThatWaitOnTheirGpus() {
    assertThatThrownBy(
            () ->
                StandInGpus.train(
                    folder,
                    gpt(),
                    Layout.dataParallel(),
                    (job, step) -> {
                      if (step == 1 && job.rank() == 1) {
                        throw new IllegalStateException("the power went out");
                      }
                    },
                    gpus(2)))
        .isInstanceOf(RankLostException.class)
        .hasMessageContaining("lostRank=1")
        .hasMessageContaining("the power went out");
  }
}
