package dev.lockstep.system;

import static java.nio.file.StandardCopyOption.COPY_ATTRIBUTES;
import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Ranks that `./lockstep` starts have their classes from the archive that the build makes.
@Tag("long")
@Timeout(120)
class ArchiveOfClassesTest {
  private static final String ARCHIVED = "source: shared objects file (top)";

  @TempDir Path folder;

  @Test
  void rankLoadsItsClassesAndThoseOfTheFitFromTheArchive() throws Exception {
    Path home = Path.of(System.getProperty("lockstep.home"));
    List<String> program =
        List.of(
            home.resolve("lockstep").toString(),
            "run",
            "--nproc-per-node=2",
            "--jvm-arg=-Xlog:class+load:file=" + folder.resolve("classes-%p.log"),
            "perf",
            "all_reduce",
            "--transport=shm",
            "--minbytes=4K",
            "--maxbytes=4K",
            "--iters=1",
            "--warmup_iters=1");
    Map<String, String> environment = Map.of("XDG_CACHE_HOME", folder.resolve("cache").toString());
    try (Command command = Command.start(environment, program)) {
      command.done();
    }
    List<Path> logs = new ArrayList<>();
    try (DirectoryStream<Path> found = Files.newDirectoryStream(folder, "classes-*.log")) {
      found.forEach(logs::add);
    }
    assertThat(logs).hasSize(2);
    for (Path log : logs) {
      assertThat(Files.readAllLines(log))
          .anyMatch(line -> line.endsWith(" dev.lockstep.job.Job " + ARCHIVED))
          .anyMatch(line -> line.endsWith(" dev.lockstep.collective.LinkProbe " + ARCHIVED));
    }
  }

  @Test
  void ranksStartInAFolderThatWasCopied() throws Exception {
    Path home = Path.of(System.getProperty("lockstep.home"));
    Path copied = folder.resolve("copied");
    try (Command command =
        Command.start(
            Map.of(),
            List.of("cp", "-a", home + "/distribution/target/lockstep", copied.toString()))) {
      command.done();
    }
    Path script = copied.resolve("lockstep");
    Files.copy(home.resolve("lockstep"), script, COPY_ATTRIBUTES, REPLACE_EXISTING);
    List<String> program =
        List.of(
            script.toString(),
            "perf",
            "all_reduce",
            "-np=2",
            "--transport=shm",
            "--minbytes=4K",
            "--maxbytes=4K",
            "--iters=1",
            "--warmup_iters=1");
    Map<String, String> environment = Map.of("XDG_CACHE_HOME", folder.resolve("cache").toString());
    try (Command command = Command.start(environment, program)) {
      assertThat(command.done().printed("# Out of bounds values :")).startsWith("0 OK");
    }
  }
}
