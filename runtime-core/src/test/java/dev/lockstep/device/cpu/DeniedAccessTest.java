package dev.lockstep.device.cpu;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.Availability;
import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// A JVM that denies native access is told apart from one that computes.
@Timeout(60)
class DeniedAccessTest {
  @Test
  void theDeviceNamesTheFlagThatItLacks() throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--illegal-native-access=deny",
                "-cp",
                System.getProperty("java.class.path"),
                Probe.class.getName())
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
