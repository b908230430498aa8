package dev.lockstep.device.cuda.ffi;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/// NVIDIA's own libraries as `pip install nvidia-cuda-nvrtc nvidia-cublas` brings them: they load
/// and compile where there is no GPU.
final class RealLibraries {
  private static final int DEPTH = 4; // nvidia/cu13/lib/FILE, or include/FILE

  private RealLibraries() {}

  /// Returns the library whose file's name starts with `prefix`, from the Python environment in
  /// `LOCKSTEP_PYTHON`, else from `target/venv`.
  static Optional<Path> find(String prefix) {
    for (Path environment : environments()) {
      Optional<Path> found = find(environment.resolve("lib"), prefix);
      if (found.isPresent()) {
        return found;
      }
    }
    return Optional.empty();
  }

  private static List<Path> environments() {
    List<Path> candidates = new ArrayList<>();
    String python = System.getenv("LOCKSTEP_PYTHON");
    if (python != null && !python.isEmpty()) {
      candidates.add(Path.of(python).toAbsolutePath().resolveSibling("..").normalize());
    }
    candidates.add(Path.of(System.getProperty("lockstep.home"), "target", "venv"));
    return candidates;
  }

  private static Optional<Path> find(Path lib, String prefix) {
    if (!Files.isDirectory(lib)) {
      return Optional.empty();
    }
    try (Stream<Path> versions = Files.list(lib)) {
      for (Path version : versions.sorted().toList()) {
        Path packages = version.resolve("site-packages").resolve("nvidia");
        if (Files.isDirectory(packages)) {
          try (Stream<Path> files =
              Files.find(packages, DEPTH, (file, _) -> matches(file, prefix))) {
            Optional<Path> found = files.sorted().findFirst();
            if (found.isPresent()) {
              return found;
            }
          }
        }
      }
      return Optional.empty();
    } catch (IOException e) {
      throw new UncheckedIOException("Python environment cannot be read: lib=" + lib, e);
    }
  }

  private static boolean matches(Path file, String prefix) {
    String name = file.getFileName().toString();
    return name.startsWith(prefix) && !name.contains(".alt.");
  }
}
