package dev.lockstep.device.cpu;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.Availability;
import dev.lockstep.process.JavaCommand;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// A JVM that denies native access is told apart from one that computes.
@Timeout(60)
class DeniedAccessTest {
  @Test
  void theDeviceNamesTheFlagThatItLacks() throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(
                JavaCommand.of(
                    List.of("--illegal-native-access=deny"), Probe.class.getName(), List.of()))
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    try {
      String said = new String(process.getInputStream().readAllBytes(), UTF_8);
      assertThat(process.waitFor()).isZero();
      assertThat(said)
          .contains("the JVM denies native access: module=dev.lockstep.core")
          .contains("--enable-native-access=dev.lockstep.core");
    } finally {
      process.destroyForcibly();
    }
  }

  /// Prints what the device says of itself.
  static final class Probe {
    private Probe() {}

    public static void main(String[] arguments) {
      Availability found = new CpuDeviceProvider().probe();
      System.out.println(found);
    }
  }
}
