package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;
import static org.assertj.core.api.Assertions.within;
import static org.junit.jupiter.api.Assumptions.abort;

import dev.lockstep.device.neuron.NeuronDeviceProvider;
import dev.lockstep.failure.Availability;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The main job on cores of a Trainium chip: it learns what the CPU learns, repeats its bits, and
/// has them on two cores too.
@Tag("neuron")
@Timeout(value = 2, unit = TimeUnit.HOURS)
class TrainiumTrainingTest {
  private static final double LOSS_TOLERANCE = 0.02;

  /// The first run compiles its programs.
  private static final Duration PATIENCE = Duration.ofHours(1);

  @TempDir Path folder;

  private record Result(double loss, String weights) {}

  @BeforeAll
  static void needsTwoCores() {
    String reason =
        switch (new NeuronDeviceProvider().probe()) {
          case Availability.Unavailable(String why) -> why;
          case Availability.Available(int cores, String detail) ->
              cores < 2 ? "there is one core: " + detail : "";
        };
    if (!reason.isEmpty()) {
      if (Boolean.getBoolean("lockstep.neuron")) {
        fail("there is no Trainium chip: " + reason);
      }
      abort("judge neuron: " + reason);
    }
  }

  private Result train(TinyJob job, String run, int ranks, String precision, String device)
      throws Exception {
    String[] options =
        job.gpt(
            run, "--steps=20", "--save-every=0", "--device=" + device, "--precision=" + precision);
    try (Command command =
        Command.lockstep(TinyJob.with(List.of("run", "--nproc-per-node=" + ranks), options))) {
      var _ = command.untilEnd(PATIENCE);
      command.done();
      String loss = command.printed("validation loss").split(" ", -1)[0];
      return new Result(Double.parseDouble(loss), command.printed("weights sha256"));
    }
  }

  @ParameterizedTest(name = "--precision {0}")
  @ValueSource(strings = {"f32", "bf16"})
  void learnsWhatTheCpuLearnsAndRepeatsItsBits(String precision) throws Exception {
    TinyJob job = new TinyJob(folder);
    Result cpu = train(job, "cpu", 1, precision, "cpu");
    Result one = train(job, "one", 1, precision, "neuron");
    assertThat(one.loss).isCloseTo(cpu.loss, within(LOSS_TOLERANCE));
    assertThat(train(job, "again", 1, precision, "neuron")).isEqualTo(one);
  }

  @Test
  void twoCoresHaveTheBitsOfOne() throws Exception {
    TinyJob job = new TinyJob(folder);
    Result one = train(job, "one", 1, "f32", "neuron");
    assertThat(train(job, "two", 2, "f32", "neuron")).isEqualTo(one);
  }
}
