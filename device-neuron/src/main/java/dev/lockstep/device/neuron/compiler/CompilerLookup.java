package dev.lockstep.device.neuron.compiler;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/// The search for `neuronx-cc`: found, or a sentence that says what to install.
public sealed interface CompilerLookup {
  /// Environment variable that names the compiler's file.
  String VARIABLE = "LOCKSTEP_NEURONX_CC";

  /// The compiler is there.
  ///
  /// @param executable its file
  /// @param version as it says it
  record Found(Path executable, String version) implements CompilerLookup {}

  /// The compiler is not there, or does not start.
  ///
  /// @param reason one sentence
  record Absent(String reason) implements CompilerLookup {}

  /// Looks for the compiler: in the file that [#VARIABLE] names, else on `PATH`. Starts it to ask
  /// for its version, which takes a second or two. Never throws.
  static CompilerLookup find(Map<String, String> environment) {
    String named = environment.getOrDefault(VARIABLE, "");
    Optional<Path> file =
        named.isEmpty()
            ? onPath(environment.getOrDefault("PATH", ""))
            : Optional.of(Path.of(named)).filter(Files::isExecutable);
    if (file.isEmpty()) {
      return new Absent(
          named.isEmpty()
              ? "neuronx-cc is not on PATH (pip install neuronx-cc from"
                  + " https://pip.repos.neuron.amazonaws.com, or set "
                  + VARIABLE
                  + " to its file)"
              : "neuronx-cc is no file that can be run: %s=%s".formatted(VARIABLE, named));
    }
    return version(file.get());
  }

  private static Optional<Path> onPath(String path) {
    return Pattern.compile(Pattern.quote(File.pathSeparator))
        .splitAsStream(path)
        .filter(folder -> !folder.isEmpty())
        .map(folder -> Path.of(folder, "neuronx-cc"))
        .filter(Files::isExecutable)
        .findFirst();
  }

  private static CompilerLookup version(Path file) {
    Path said = null;
    Path warned = null;
    try {
      // Files, since a tool that writes more than a pipe holds waits for its reader.
      said = Files.createTempFile("neuronx-cc-version", ".out");
      warned = Files.createTempFile("neuronx-cc-version", ".err");
      return version(file, said, warned);
    } catch (IOException e) {
      return new Absent(
          "neuronx-cc does not start: file=%s, cause=%s".formatted(file, e.getMessage()));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return new Absent("neuronx-cc was not waited for: file=" + file);
    } finally {
      delete(said);
      delete(warned);
    }
  }

  private static CompilerLookup version(Path file, Path said, Path warned)
      throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(file.toString(), "--version")
            .redirectOutput(said.toFile())
            .redirectError(warned.toFile())
            .start();
    boolean ended;
    try {
      process.getOutputStream().close();
      ended = process.waitFor(VERSION_SECONDS, TimeUnit.SECONDS);
    } finally {
      process.descendants().forEach(ProcessHandle::destroyForcibly);
      process.destroyForcibly();
    }
    String out = start(said);
    String err = start(warned);
    Optional<String> version =
        first(SAYS_VERSION, out)
            .or(() -> first(SAYS_VERSION, err))
            .or(() -> first(BARE_VERSION, out));
    return ended && process.exitValue() == 0 && version.isPresent()
        ? new Found(file, version.get())
        : new Absent(
            "neuronx-cc does not say its version: file=%s, said=%s (reinstall neuronx-cc)"
                .formatted(file, ended ? (out + err).strip() : "nothing for a minute"));
  }

  private static Optional<String> first(Pattern pattern, String text) {
    Matcher matcher = pattern.matcher(text);
    return matcher.find() ? Optional.of(matcher.group(1)) : Optional.empty();
  }

  /// Returns what a file begins with.
  private static String start(Path file) throws IOException {
    try (InputStream bytes = Files.newInputStream(file)) {
      return new String(bytes.readNBytes(MOST_SAID), StandardCharsets.UTF_8);
    }
  }

  private static void delete(@Nullable Path file) {
    try {
      if (file != null) {
        Files.deleteIfExists(file);
      }
    } catch (IOException leftToTheSystem) {
      // A few bytes among other temporary files.
    }
  }

  /// How the compiler says it: `NeuronX Compiler version 2.27.5334.0+abcdef`.
  Pattern SAYS_VERSION = Pattern.compile("(?i)compiler version\\s+(\\S+)");

  /// Digits and points, then what may follow; not of warnings, which name versions of other things.
  Pattern BARE_VERSION = Pattern.compile("(\\d+\\.\\d+[\\w.+]*)");

  /// Bytes of an answer that are read.
  int MOST_SAID = 4096;

  /// A cold start of a Python tool on a busy machine.
  int VERSION_SECONDS = 60;
}
