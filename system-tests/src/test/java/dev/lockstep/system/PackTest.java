package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.launcher.pack.Pack;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A packed folder runs where there is no Java, and can be carried.
@Tag("long")
@Timeout(180)
class PackTest {
  private static final long MOST_BYTES = 60L << 20;

  @TempDir Path folder;

  @Test
  void trainsByTheRuntimeThatItBrings() throws Exception {
    Path home = Path.of(System.getProperty("lockstep.home"));
    assertThatThrownBy(
            () ->
                new Pack(
                        home,
                        home.resolve("distribution/target/lockstep/lib"),
                        Path.of("/proc/packed"))
                    .make())
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--out=/proc/packed, cause=");
    Path packed = folder.resolve("packed");
    Pack pack = new Pack(home, home.resolve("distribution/target/lockstep/lib"), packed);
    Pack.Packed made = pack.make();
    assertThat(made.archiveBytes()).isPositive().isLessThan(MOST_BYTES);
    assertThat(made.folderBytes()).isGreaterThan(made.archiveBytes());
    assertThatThrownBy(pack::make)
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("--out");
    try (Stream<Path> left = Files.list(folder)) {
      assertThat(left).containsExactlyInAnyOrder(packed, made.archive());
    }
    Path renamed = Files.move(packed, folder.resolve("elsewhere"));
    assertThatThrownBy(pack::make).hasMessageContaining("path=" + made.archive());
    Files.move(renamed, packed);
    TinyJob job = new TinyJob(folder);
    List<String> program =
        List.of(
            TinyJob.with(
                List.of(packed.resolve("lockstep").toString(), "run", "--nproc-per-node=2"),
                job.gpt("packed", "--steps=2", "--save-every=0", "--threads=1")));
    Map<String, String> environment = Map.of("JAVA_HOME", "", "LOCKSTEP_JAVA_HOME", "");
    try (Command command = Command.start(environment, program)) {
      assertThat(command.done().printed("weights sha256")).hasSizeGreaterThanOrEqualTo(64);
    }
  }
}
