package dev.lockstep.examples.language;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.process.JavaCommand;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// An output folder is one live run's.
@Timeout(60)
class RunLockTest {
  @TempDir private Path folder;
  private final List<String> warnings = new ArrayList<>();

  private RunLock take() {
    return RunLock.take(folder, "host=here, pid=1", warnings::add);
  }

  /// A process that has the lock until its input ends.
  static final class Holder {
    private Holder() {}

    public static void main(String[] arguments) throws IOException {
      try (RunLock _ = RunLock.take(Path.of(arguments[0]), "host=there, pid=7", _ -> {})) {
        System.out.println("has it");
        System.out.flush();
        var _ = System.in.read();
      }
    }
  }

  @Test
  void anotherProcessIsNamedAndLeavesItWhenItIsKilled() throws Exception {
    Process other =
        new ProcessBuilder(
                JavaCommand.of(
                    List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
                    Holder.class.getName(),
                    List.of(folder.toString())))
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    try (BufferedReader said = other.inputReader(UTF_8)) {
      assertThat(said.readLine()).isEqualTo("has it");
      assertThatThrownBy(this::take)
          .isInstanceOfSatisfying(
              ConfigurationException.class, refused -> assertThat(refused.key()).isEqualTo("--out"))
          .hasMessage(
              "another run writes to the output folder: folder=%s, by=host=there, pid=7 (wait for"
                  + " its end, or give another folder with --out)",
              folder);
      Files.createFile(folder.resolve("metrics.jsonl"));
      RunFolder run = new RunFolder(folder);
      assertThatThrownBy(() -> run.check(Optional.empty()))
          .hasMessageContaining("by=host=there, pid=7 (wait");
      assertThatThrownBy(() -> run.prepare(Optional.of(run)))
          .hasMessageContaining("by=host=there, pid=7 (wait");
    } finally {
      other.destroyForcibly();
      var _ = other.waitFor();
    }
    take().close();
    assertThat(folder.resolve(".lock")).hasContent("host=here, pid=1");
    assertThat(warnings).isEmpty();
  }

  @Test
  void anotherRunOfTheSameProcessIsRefusedUntilTheFirstEnds() {
    try (RunLock _ = take()) {
      assertThatThrownBy(this::take)
          .isInstanceOf(ConfigurationException.class)
          .hasMessageContaining("by=this process");
    }
    take().close();
  }

  @Test
  void whereNothingCanBeLockedTheRunGoesOnAndSaysSo() throws IOException {
    Files.createDirectory(folder.resolve(".lock"));

    take().close();

    assertThat(warnings)
        .singleElement()
        .asString()
        .startsWith("the output folder cannot be locked: folder=" + folder + ", cause=")
        .endsWith("(see to it that no other run writes to it)");
  }
}
