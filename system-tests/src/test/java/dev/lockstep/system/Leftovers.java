package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/// What a job may leave behind: its processes, its folder, and what they have mapped of shared
/// memory that has a name. Other jobs of the machine have files there too.
final class Leftovers {
  private static final String JOB_FOLDER = "LOCKSTEP_JOB_DIR=";
  private static final String SHARED_MEMORY = "/dev/shm/";

  private final List<ProcessHandle> processes;
  private final Set<Path> files = new TreeSet<>();

  private Leftovers(List<ProcessHandle> processes) {
    this.processes = List.copyOf(processes);
  }

  /// Notes what processes of a job have while they run.
  static Leftovers of(List<ProcessHandle> processes) throws IOException {
    Leftovers noted = new Leftovers(processes);
    for (ProcessHandle process : processes) {
      Command.environment(process).stream()
          .filter(variable -> variable.startsWith(JOB_FOLDER))
          .map(variable -> Path.of(variable.substring(JOB_FOLDER.length())))
          .forEach(noted.files::add);
      try (Stream<String> mapped = Files.lines(Path.of("/proc", "" + process.pid(), "maps"))) {
        mapped
            .filter(line -> line.contains(SHARED_MEMORY) && !line.endsWith(" (deleted)"))
            .map(line -> Path.of(line.substring(line.indexOf(SHARED_MEMORY))))
            .forEach(noted.files::add);
      }
    }
    assertThat(noted.files).as("folder of the job, while it runs").anyMatch(Files::isDirectory);
    return noted;
  }

  /// Checks that everything has gone.
  void none() throws Exception {
    awaitEnd();
    assertThat(files).noneMatch(Files::exists);
  }

  /// Checks that everything of Lockstep's has gone, and removes the shared memory that libfabric
  /// leaves when its process is killed.
  void noneButLibfabrics() throws Exception {
    awaitEnd();
    for (Path file : files) {
      if (file.toString().contains("lockstep")) {
        assertThat(file).doesNotExist();
      } else {
        Files.deleteIfExists(file);
      }
    }
  }

  private void awaitEnd() throws Exception {
    for (ProcessHandle process : processes) {
      // Who was killed is gone when its parent has taken note.
      process.onExit().get(2, TimeUnit.SECONDS);
    }
  }
}
