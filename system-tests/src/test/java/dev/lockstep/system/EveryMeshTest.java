package dev.lockstep.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// The main job as users start it, ranks as processes, on this JDK's own sources: the losses, the
/// validation loss and the hashes of one rank, whatever the mesh.
@Tag("long")
@Timeout(600)
class EveryMeshTest {
  private static final List<String> MESHES = List.of("dp=3", "dp=2,tp=2", "dp=2 --zero=3");

  private static final Pattern LOSS = Pattern.compile("\"loss\"\\s*:\\s*([0-9.E-]+)");

  /// Four ranks of a whole model may share two cores with other work: none is lost for it.
  private static final Map<String, String> BUSY = Map.of("LOCKSTEP_LIVENESS_MS", "30000");

  private static final Duration PATIENCE = Duration.ofMinutes(3);

  @TempDir static Path folder;

  /// What a run ends in, and how it came there.
  private record Result(List<Float> losses, String validation, String optimizer, String weights) {}

  @BeforeAll
  static void requireSources() {
    Path sources = Path.of(System.getProperty("java.home"), "lib", "src.zip");
    assumeTrue(
        Files.exists(sources),
        "judge jdk-sources: this JDK has no sources to train on: " + sources);
  }

  /// The number of ranks that a mesh has.
  private static int ranks(String mesh) {
    return Pattern.compile("=(\\d+)")
        .matcher(mesh.replaceFirst(" .*", ""))
        .results()
        .mapToInt(size -> Integer.parseInt(size.group(1)))
        .reduce(1, (a, b) -> a * b);
  }

  /// Runs what nothing is said of but its mesh and that it is short.
  ///
  /// @param mesh what follows `--mesh`; empty for one rank
  private static Result run(String mesh) throws Exception {
    Path out = folder.resolve("run-" + mesh.replaceAll("[^a-z0-9]+", "-"));
    List<String> command =
        new ArrayList<>(List.of("run", "--nproc-per-node=" + ranks(mesh), "gpt", "--steps=3"));
    command.add("--out=" + out);
    if (!mesh.isEmpty()) {
      command.addAll(List.of(("--mesh=" + mesh).split(" ", -1)));
    }
    List<String> program = Command.lockstepProgram(command.toArray(String[]::new));
    try (Command started = Command.start(BUSY, program)) {
      var _ = started.untilEnd(PATIENCE);
      started.done();
      return new Result(
          losses(out),
          started.printed("validation loss"),
          started.printed("optimizer sha256"),
          started.printed("weights sha256"));
    }
  }

  private static List<Float> losses(Path out) throws IOException {
    return LOSS.matcher(Files.readString(out.resolve("metrics.jsonl")))
        .results()
        .map(loss -> Float.parseFloat(loss.group(1)))
        .toList();
  }

  @Test
  void theDefaultRecipeEndsInTheHashOfOneRank() throws Exception {
    Result alone = run("");
    assertThat(alone.losses).hasSize(3);
    assertThat(alone.weights).matches("[0-9a-f]{64}");
    for (String mesh : MESHES) {
      assertThat(run(mesh)).as("run gpt --mesh %s", mesh).isEqualTo(alone);
    }
  }
}
