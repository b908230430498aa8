package dev.lockstep.bench.step;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.process.JavaCommand;
import dev.lockstep.process.Signals;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class TemporaryFolderTest {
  @TempDir private Path temporary;

  /// A process that works in its folder until its input ends.
  static final class Worker {
    private Worker() {}

    public static void main(String[] arguments) throws IOException {
      try (TemporaryFolder folder = TemporaryFolder.ofProcess("work")) {
        Path inner = Files.createDirectories(folder.path().resolve("a/b"));
        Files.writeString(inner.resolve("c.txt"), "text");
        System.out.println(folder.path());
        System.out.flush();
        var _ = System.in.read();
      }
    }
  }

  @Test
  void nothingIsLeftWhereASignalEndsTheProcess() throws Exception {
    Process worker =
        new ProcessBuilder(
                JavaCommand.of(
                    List.of(
                        "-XX:TieredStopAtLevel=1",
                        "-XX:+UseSerialGC",
                        "-Djava.io.tmpdir=" + temporary),
                    Worker.class.getName(),
                    List.of()))
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    try (BufferedReader said = worker.inputReader(UTF_8)) {
      assertThat(Path.of(said.readLine()).resolve("a/b/c.txt")).exists();
      Signals.send("TERM", worker.toHandle());
      assertThat(worker.waitFor()).isNotZero();
    } finally {
      worker.destroyForcibly();
    }
    assertThat(temporary).isEmptyDirectory();
  }

  @Test
  void workThatEndsLeavesNothing() throws IOException {
    Path path;
    try (TemporaryFolder folder = TemporaryFolder.ofWork("work")) {
      path = Files.writeString(folder.path().resolve("text"), "text").getParent();
    }
    assertThat(path).doesNotExist();
  }
}
