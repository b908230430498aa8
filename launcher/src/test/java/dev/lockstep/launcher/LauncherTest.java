package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(20)
final class LauncherTest {
  private final PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());

  @Test
  void aJobMayRefuseAFolderOfLogs(@TempDir Path temporary) {
    Path logs = temporary.resolve("read-by-the-job");
    LaunchOptions options =
        new RunOptions(null, null, null, null, false, "", "c10d", "0", null, "none")
            .launch(List.of(), logs, OptionalInt.empty(), Map.of());
    assertThatThrownBy(() -> Launcher.launch(options, "test", List.of("print"), nowhere, nowhere))
        .isInstanceOf(ConfigurationException.class)
        .hasMessage("job reads that folder: --log-dir=" + logs);
    assertThat(logs).doesNotExist();
  }

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
