package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.system.StandInGpus.Result;
import dev.lockstep.train.Layout;
import dev.lockstep.train.Recipe;
import dev.lockstep.train.nn.Precision;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Whole training steps on the CUDA device, whose libraries are the stand-ins: beside the CPU
/// device, whose bits its kernels keep where products are exact. Collectives pass through the host.
@Timeout(120)
class CudaTrainingTest {
  @TempDir Path folder;

  @BeforeAll
  static void takeTheStandIns() {
    StandInGpus.take();
  }

  @AfterAll
  static void leaveThem() {
    StandInGpus.leave();
  }

  private static Recipe gpt() {
    return StandInGpus.gpt(2);
  }

  /// Trains on one rank for each device.
  private Result train(Recipe recipe, Layout layout, String... devices) throws Exception {
    return StandInGpus.train(folder, recipe, layout, devices);
  }

  @Test
  void gptTrainsToTheBitsOfTheCpu() throws Exception {
    Result cpu = train(gpt(), Layout.dataParallel(), "cpu");
    assertThat(train(gpt(), Layout.dataParallel(), "cuda")).isEqualTo(cpu);
    assertThat(cpu.losses().getLast()).isLessThan(cpu.losses().getFirst());
  }

  @Test
  void ranksOnCpuAndCudaTrainOneModel() throws Exception {
    Result alone = train(gpt(), Layout.dataParallel(), "cpu");
    Layout sharded = Layout.dataParallel().withZero(1);
    assertThat(train(gpt(), sharded, "cpu", "cuda")).isEqualTo(alone);
  }

  @Test
  void twoGpusTrainAsOne() throws Exception {
    Result alone = train(gpt(), Layout.dataParallel(), "cpu");
    assertThat(train(gpt(), Layout.dataParallel(), "cuda", "cuda")).isEqualTo(alone);
  }

  @Test
  void bfloat16TrainsToTheBitsOfTheCpu() throws Exception {
    Recipe recipe = gpt().withPrecision(Precision.BF16);
    Result cpu = train(recipe, Layout.dataParallel(), "cpu");
    assertThat(train(recipe, Layout.dataParallel(), "cuda")).isEqualTo(cpu);
  }
}
