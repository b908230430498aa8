package dev.lockstep.device.cpu;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.device.Device;
import dev.lockstep.device.DeviceOptions;
import dev.lockstep.memory.Backing;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.process.JavaCommand;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A host whose memory files cannot be opened: a folder without files lies over the descriptors of
/// the process.
@Timeout(60)
final class WithoutMemoryFilesTest {
  private static final String HIDE = "mount --bind \"$0\" /proc/$$/fd || exit 77; exec \"$@\"";
  private static final int NO_MOUNT = 77;

  @TempDir private Path folder;

  @Test
  void filesOfTheJobsDirectoryBackWhatPeersMap() throws IOException, InterruptedException {
    List<String> command =
        new ArrayList<>(List.of("unshare", "-rm", "sh", "-c", HIDE, folder.toString()));
    command.addAll(
        JavaCommand.of(
            List.of("--enable-native-access=ALL-UNNAMED", "-XX:TieredStopAtLevel=1"),
            Probe.class.getName(),
            List.of(folder.toString())));
    assumeTrue(namespacesWork(), "no namespace can be made");
    Process process =
        new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    try {
      String said = new String(process.getInputStream().readAllBytes(), UTF_8);
      int code = process.waitFor();
      assumeTrue(code != NO_MOUNT, "nothing can be mounted over descriptors");
      assertThat(code).isZero();
      assertThat(said).startsWith(folder.resolve("memory-").toString());
      assertThat(folder).isEmptyDirectory();
    } finally {
      process.destroyForcibly();
    }
  }

  private static boolean namespacesWork() throws InterruptedException {
    try {
      return new ProcessBuilder("unshare", "-rm", "true").start().waitFor() == 0;
    } catch (IOException _) {
      return false;
    }
  }

  /// Prints where a device's memory lies that peers map.
  static final class Probe {
    private Probe() {}

    public static void main(String[] arguments) {
      try (MemoryPool pool = MemoryPool.root("probe", 1 << 20);
          Device device =
              new CpuDeviceProvider()
                  .open(0, new DeviceOptions(pool, 1, 0).in(Path.of(arguments[0])));
          Buffer buffer = device.allocateShared("gradients", 8192)) {
        if (buffer.registration().region().backing() instanceof Backing.SharedFile file) {
          System.out.println(file.path());
        }
      }
    }
  }
}
