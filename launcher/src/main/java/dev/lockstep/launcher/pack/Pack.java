package dev.lockstep.launcher.pack;

import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReference;
import java.nio.file.Files;
import java.nio.file.Path;
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

  /// Makes the folder and the archive; takes some ten seconds.
  ///
  /// @throws ConfigurationException if the folder is there already, or this Java has no `jlink`
  public Packed make() throws IOException, InterruptedException {
    if (Files.exists(folder)) {
      throw new ConfigurationException(
          "--out",
          folder.toString(),
          "the folder is there already: --out %s (name another, or remove it)".formatted(folder));
    }
    Path jlink = Path.of(System.getProperty("java.home"), "bin", "jlink");
    if (!Files.isExecutable(jlink)) {
      throw new ConfigurationException(
          "java.home",
          jlink.toString(),
          "this Java cannot make runtimes: there is no %s (start the command with a JDK 25, LOCKSTEP_JAVA_HOME names it)"
              .formatted(jlink));
    }
    Set<String> modules = modules();
    Files.createDirectories(folder);
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
            folder.resolve("runtime").toString()));
    Path libraries = Files.createDirectory(folder.resolve("lib"));
    try (Stream<Path> jars = Files.list(lib)) {
      for (Path jar : jars.filter(file -> file.toString().endsWith(".jar")).toList()) {
        Files.copy(jar, libraries.resolve(jar.getFileName()));
      }
    }
    Path command = folder.resolve("lockstep");
    Files.copy(home.resolve("lockstep"), command);
    command.toFile().setExecutable(true, false);
    Path archive = folder.resolveSibling(folder.getFileName() + ".tar.gz");
    Path parent = folder.resolveSibling("");
    run(
        List.of(
            "tar",
            "-C",
            parent.toString(),
            "-czf",
            archive.toString(),
            folder.getFileName().toString()));
    return new Packed(archive, bytes(), Files.size(archive), modules.size());
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
