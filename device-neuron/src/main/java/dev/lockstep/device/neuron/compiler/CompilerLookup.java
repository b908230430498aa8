package dev.lockstep.device.neuron.compiler;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

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
    Process process = null;
    try {
      process = new ProcessBuilder(file.toString(), "--version").redirectErrorStream(true).start();
      process.getOutputStream().close();
      boolean ended = process.waitFor(VERSION_SECONDS, TimeUnit.SECONDS);
      String said =
          ended ? new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8) : "";
      Matcher matcher = VERSION.matcher(said);
      return ended && process.exitValue() == 0 && matcher.find()
          ? new Found(file, matcher.group())
          : new Absent(
              "neuronx-cc does not say its version: file=%s, said=%s (reinstall neuronx-cc)"
                  .formatted(file, ended ? said.strip() : "nothing for a minute"));
    } catch (IOException e) {
      return new Absent(
          "neuronx-cc does not start: file=%s, cause=%s".formatted(file, e.getMessage()));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return new Absent("neuronx-cc was not waited for: file=" + file);
    } finally {
      if (process != null) {
        process.descendants().forEach(ProcessHandle::destroyForcibly);
        process.destroyForcibly();
      }
    }
  }

  /// Digits and points, then what may follow: `2.27.5334.0+abcdef`.
  Pattern VERSION = Pattern.compile("\\d+\\.\\d+[\\w.+]*");

  /// A cold start of a Python tool on a busy machine.
  int VERSION_SECONDS = 60;
}
