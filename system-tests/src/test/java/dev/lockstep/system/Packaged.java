package dev.lockstep.system;

import static java.nio.file.StandardCopyOption.COPY_ATTRIBUTES;
import static java.nio.file.StandardCopyOption.REPLACE_EXISTING;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.Stream;

/// What `./lockstep` runs from, as the build has packaged it. The script lies beside the jars, as
/// in a folder that is given away: there it builds nothing.
final class Packaged {
  private static final Path HOME = Path.of(System.getProperty("lockstep.home", ".."));
  private static final Path FOLDER = HOME.resolve("distribution/target/lockstep").toAbsolutePath();
  private static final Path SCRIPT = laidBesideTheJars();

  private Packaged() {}

  /// Returns the script.
  static Path script() {
    return SCRIPT;
  }

  private static Path laidBesideTheJars() {
    try {
      requireNoOlderThanItsClasses(FOLDER.resolve("lib"), HOME);
      Path script = FOLDER.resolve("lockstep");
      return Files.copy(HOME.resolve("lockstep"), script, COPY_ATTRIBUTES, REPLACE_EXISTING);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }

  /// Checks that jars are no older than what they were made of.
  ///
  /// @param jars the folder of all modules' jars
  /// @param home the folder of all modules
  static void requireNoOlderThanItsClasses(Path jars, Path home) throws IOException {
    String prefix = "lockstep-";
    try (DirectoryStream<Path> own = Files.newDirectoryStream(jars, prefix + "*.jar")) {
      for (Path jar : own) {
        String name = jar.getFileName().toString();
        String module = name.substring(prefix.length()).replaceFirst("-\\d.*", "");
        Optional<FileTime> compiled = newest(home.resolve(module).resolve("target/classes"));
        if (compiled.isPresent() && compiled.get().compareTo(Files.getLastModifiedTime(jar)) > 0) {
          throw new AssertionError(
              "what is packaged is older than its classes: jar=%s, packaged=%s, compiled=%s (./mvnw -Pquick package)"
                  .formatted(jar, Files.getLastModifiedTime(jar), compiled.get()));
        }
      }
    }
  }

  private static Optional<FileTime> newest(Path folder) throws IOException {
    if (!Files.isDirectory(folder)) {
      return Optional.empty();
    }
    try (Stream<Path> files = Files.walk(folder)) {
      return files
          .filter(file -> file.toString().endsWith(".class"))
          .map(Packaged::modified)
          .max(Comparator.naturalOrder());
    }
  }

  private static FileTime modified(Path file) {
    try {
      return Files.getLastModifiedTime(file);
    } catch (IOException failure) {
      throw new UncheckedIOException(failure);
    }
  }
}
