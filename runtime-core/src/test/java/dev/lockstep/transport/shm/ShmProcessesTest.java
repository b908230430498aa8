package dev.lockstep.transport.shm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.memory.Buffer;
import dev.lockstep.transport.Transfer;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Two processes over shared memory.
@Timeout(120)
final class ShmProcessesTest {
  private static final String MEMORY_FILE = "/memfd:lockstep";

  @TempDir private Path directory;

  @ParameterizedTest(name = "options of the other JVM: {0}")
  @ValueSource(strings = {"--add-modules=jdk.incubator.vector", "-Dvectors=none"})
  void processesExchangeMessagesAndReadInPlace(String option)
      throws IOException, InterruptedException {
    Process other = ShmProcess.start(1, directory, List.of(option));
    try (ShmProcess process = new ShmProcess(0, directory)) {
      process.run();
      assertThat(other.waitFor(60, TimeUnit.SECONDS)).isTrue();
      assertThat(other.exitValue()).as(ShmProcess.log(directory)).isZero();
    } finally {
      other.destroyForcibly();
    }
  }

  @Test
  void killedPeerLeavesItsMemoryReadableAndNothingBehind()
      throws IOException, InterruptedException {
    Process other = ShmProcess.start(1, directory, List.of(), "hang");
    List<Path> files;
    try (ShmProcess process = new ShmProcess(0, directory);
        Buffer into = process.filled(0)) {
      Transfer receiving = process.receiving(into);
      MemorySegment theirs = process.meetVictim(receiving);
      files = sharedFiles(other);
      assertThat(files).isNotEmpty();
      other.destroyForcibly().waitFor();
      for (int i = 0; i < ShmProcess.ELEMENTS; i++) {
        assertThat(theirs.getAtIndex(ValueLayout.JAVA_FLOAT, i)).isEqualTo(5);
      }
      for (int i = 0; i < 1000; i++) {
        process.poll();
      }
      assertThat(into.segment().getAtIndex(ValueLayout.JAVA_FLOAT, 0)).isEqualTo(5);
    } finally {
      other.destroyForcibly();
    }
    assertThat(files).noneMatch(Files::exists);
    try (Stream<Path> left = Files.list(directory)) {
      assertThat(left.map(path -> path.getFileName().toString()))
          .noneMatch(name -> name.startsWith("memory-"));
    }
  }

  /// Returns what a process that runs has mapped and others open: memory files, which are in no
  /// file system, and files of the job's folder.
  private List<Path> sharedFiles(Process process) throws IOException {
    String folder = directory.toRealPath() + "/";
    try (Stream<String> maps = Files.lines(Path.of("/proc", "" + process.pid(), "maps"))) {
      return maps.filter(line -> line.contains(MEMORY_FILE) || line.contains(folder))
          .map(line -> Path.of(line.substring(line.indexOf('/'))))
          .toList();
    }
  }
}
