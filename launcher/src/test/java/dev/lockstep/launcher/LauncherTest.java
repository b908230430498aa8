package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(20)
final class LauncherTest {
  private final PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());

  @Test
  void namesTheOptionWhereThePortIsTaken() throws Exception {
    try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      String endpoint = "127.0.0.1:" + taken.getLocalPort();
      LaunchOptions options =
          new RunOptions(null, null, null, endpoint, false, "", "c10d", "0", null, "none")
              .launch(List.of(), null, OptionalInt.empty(), Map.of());
      assertThatThrownBy(() -> Launcher.launch(options, "test", List.of("print"), nowhere, nowhere))
          .isInstanceOf(ConfigurationException.class)
          .hasMessageContaining("--rdzv-endpoint=" + endpoint)
          .hasMessageContaining("give another port in --rdzv-endpoint")
          .hasMessageNotContaining("LOCKSTEP_STORE_PORT");
    }
  }
}
