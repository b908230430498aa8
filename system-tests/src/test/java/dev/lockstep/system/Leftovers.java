package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// What a job may leave behind: processes, and files of Lockstep's or Aeron's in shared memory.
final class Leftovers {
  private static final Path SHARED_MEMORY = Path.of("/dev/shm");

  private final Set<Path> before;

  private Leftovers(Set<Path> before) {
    this.before = before;
  }

  /// Notes what is there already.
  static Leftovers beforehand() throws IOException {
    return new Leftovers(files());
  }

  private static Set<Path> files() throws IOException {
    try (Stream<Path> files = Files.list(SHARED_MEMORY)) {
      return files
          .filter(file -> file.getFileName().toString().matches("(?i).*(lockstep|aeron).*"))
          .collect(Collectors.toSet());
    }
  }

  /// Checks that nothing has come since, and that processes have gone.
  void none(List<ProcessHandle> processes) throws Exception {
    for (ProcessHandle process : processes) {
      // Who was killed is gone when its parent has taken note.
      process.onExit().get(2, TimeUnit.SECONDS);
    }
    Set<Path> left = files();
    left.removeAll(before);
    assertThat(left).as("files left in %s", SHARED_MEMORY).isEmpty();
  }
}
