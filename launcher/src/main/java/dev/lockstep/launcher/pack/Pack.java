package dev.lockstep.launcher.pack;

import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/// Makes the folder: `runtime` by `jlink`, with the modules that the jars ask for and no others;
/// `lib` with the jars; `lockstep`, the command. And an archive of it beside it.
public final class Pack {
  /// What the jars use without saying so: those that are no modules, the Vector API, and what a
  /// rank reads of its JVM.
  private static final List<String> UNSAID =
      List.of("jdk.incubator.vector", "jdk.management", "jdk.unsupported", "java.logging");

  private final Path home;
  private final Path lib;
  private final Path folder;

  /// What was made.
  ///
  /// @param archive the archive of the folder
  /// @param folderBytes size of all files of the folder
  /// @param archiveBytes size of the archive
  /// @param modules how many modules of Java the runtime has
  public record Packed(Path archive, long folderBytes, long archiveBytes, int modules) {}

  /// Plans the folder; nothing is touched before [#make].
  ///
  /// @param home the folder of the command `lockstep`
  /// @param lib the folder of the jars
  /// @param folder what is made
  public Pack(Path home, Path lib, Path folder) {
    this.home = home;
    this.lib = lib;
    this.folder = folder.toAbsolutePath().normalize();
  }

  /// Makes the folder and the archive, and waits for both. What cannot be finished leaves nothing
  /// behind.
  ///
  /// @throws ConfigurationException if the folder or the archive is there already, or this Java has
  ///   no `jlink`, or what is made cannot be written
  public Packed make() throws InterruptedException {
    Path archive = folder.resolveSibling(folder.getFileName() + ".tar.gz");
    requireAbsent(folder);
    requireAbsent(archive);
    Path jlink = Path.of(System.getProperty("java.home"), "bin", "jlink");
    if (!Files.isExecutable(jlink)) {
      throw new ConfigurationException(
          "java.home",
          jlink.toString(),
          "this Java cannot make runtimes: there is no %s (start the command with a JDK 25, LOCKSTEP_JAVA_HOME names it)"
              .formatted(jlink));
    }
    try {
      return make(archive, jlink);
    } catch (IOException e) {
      throw new ConfigurationException(
          "--out",
          folder.toString(),
          "the folder cannot be made: --out=%s, cause=%s: %s (name a folder that this user may make, on a file system with room)"
              .formatted(folder, e.getClass().getSimpleName(), e.getMessage()),
          e);
    }
  }

  private Packed make(Path archive, Path jlink) throws IOException, InterruptedException {
    Path parent = Files.createDirectories(folder.resolveSibling(""));
    Path unfinished = Files.createTempDirectory(parent, ".pack");
    try {
      Path made = Files.createDirectory(unfinished.resolve(folder.getFileName()));
      int modules = fill(made, jlink);
      Path packed = unfinished.resolve(archive.getFileName());
      run(
          List.of(
              "tar",
              "-C",
              unfinished.toString(),
              "-czf",
              packed.toString(),
              folder.getFileName().toString()));
      Files.move(packed, archive);
      try {
        Files.move(made, folder);
      } catch (IOException e) {
        Files.deleteIfExists(archive);
        throw e;
      }
      return new Packed(archive, bytes(), Files.size(archive), modules);
    } finally {
      remove(unfinished);
    }
  }

  private static void requireAbsent(Path path) {
    if (Files.exists(path)) {
      throw new ConfigurationException(
          "--out",
          path.toString(),
          "it is there already: path=%s (name another --out, or remove it)".formatted(path));
    }
  }

  /// Returns how many modules the runtime has.
  private int fill(Path made, Path jlink) throws IOException, InterruptedException {
    Set<String> modules = modules();
    run(
        List.of(
            jlink.toString(),
            "--add-modules",
            String.join(",", modules),
            "--strip-debug",
            "--no-header-files",
            "--no-man-pages",
            "--compress",
            "zip-6",
            "--output",
            made.resolve("runtime").toString()));
    Path libraries = Files.createDirectory(made.resolve("lib"));
    try (Stream<Path> jars = Files.list(lib)) {
      for (Path jar : jars.filter(file -> file.toString().endsWith(".jar")).toList()) {
        Files.copy(jar, libraries.resolve(jar.getFileName()));
      }
    }
    Path command = made.resolve("lockstep");
    Files.copy(home.resolve("lockstep"), command);
    command.toFile().setExecutable(true, false);
    return modules.size();
  }

  private static void remove(Path folder) throws IOException {
    try (Stream<Path> paths = Files.walk(folder)) {
      for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
  }

  /// Returns the modules of Java that the jars ask for.
  private Set<String> modules() {
    Set<String> modules = new TreeSet<>(UNSAID);
    ModuleFinder system = ModuleFinder.ofSystem();
    for (ModuleReference jar : ModuleFinder.of(lib).findAll()) {
      for (ModuleDescriptor.Requires required : jar.descriptor().requires()) {
        boolean isOptional =
            required.modifiers().contains(ModuleDescriptor.Requires.Modifier.STATIC);
        if (!isOptional && system.find(required.name()).isPresent()) {
          modules.add(required.name());
        }
      }
    }
    return modules;
  }

  private static void run(List<String> command) throws IOException, InterruptedException {
    Process process = new ProcessBuilder(command).inheritIO().start();
    int code = process.waitFor();
    if (code != 0) {
      throw new IOException(
          "a program failed: command=%s, exitCode=%d".formatted(String.join(" ", command), code));
    }
  }

  private long bytes() throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      return files.filter(Files::isRegularFile).mapToLong(file -> file.toFile().length()).sum();
    }
  }
}
