package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.abort;

import dev.lockstep.device.cuda.CudaDeviceProvider;
import dev.lockstep.failure.Availability;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The main job on NVIDIA's GPU 0: it learns what the CPU learns, and repeats its bits.
@Tag("gpu")
@Timeout(300)
class GpuTrainingTest {
  private static final double LOSS_TOLERANCE = 0.02;

  @TempDir Path folder;

  private record Result(double loss, String weights) {}

  @BeforeAll
  static void needsAGpu() {
    if (new CudaDeviceProvider().probe() instanceof Availability.Unavailable(String reason)) {
      if (Boolean.getBoolean("lockstep.gpu")) {
        fail("there is no GPU: " + reason);
      }
      abort("judge gpu: " + reason);
    }
  }

  private Result train(TinyJob job, String run, String precision, String device) throws Exception {
    String[] options =
        job.gpt(
            run, "--steps=20", "--save-every=0", "--device=" + device, "--precision=" + precision);
    try (Command command =
        Command.lockstep(TinyJob.with(List.of("run", "--nproc-per-node=1"), options))) {
      command.done();
      String loss = command.printed("validation loss").split(" ", -1)[0];
      return new Result(Double.parseDouble(loss), command.printed("weights sha256"));
    }
  }

  @ParameterizedTest(name = "--precision {0}")
  @ValueSource(strings = {"f32", "bf16"})
  void learnsWhatTheCpuLearnsAndRepeatsItsBits(String precision) throws Exception {
    TinyJob job = new TinyJob(folder);
    Result cpu = train(job, "cpu", precision, "cpu");
    Result gpu = train(job, "gpu", precision, "cuda");
    assertThat(gpu.loss).isCloseTo(cpu.loss, within(LOSS_TOLERANCE));
    assertThat(train(job, "again", precision, "cuda")).isEqualTo(gpu);
  }
}
