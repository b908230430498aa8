package dev.lockstep.launcher;

import java.io.File;
import java.io.IOException;
import java.lang.module.ModuleFinder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// The JVM of a rank: this JVM's Java and modules (or class path), started for computing.
final class ChildJvm {
  private static final String VECTOR_API = "jdk.incubator.vector";

  /// Modules that call native functions; the JVM warns of a name that it does not know.
  private static final List<String> NATIVE =
      List.of(
          "dev.lockstep.core",
          "dev.lockstep.transport.efa",
          "dev.lockstep.device.cuda",
          "dev.lockstep.device.neuron");

  private static final String AGRONA = "org.agrona";
  private static final String UNNAMED = "ALL-UNNAMED";
  private static final String HEAP = "256m";

  /// Options that say how large the heap is at first or at most; of the young generation, `-Xmn`,
  /// says neither.
  private static final Pattern HEAP_SIZE =
      Pattern.compile(
          "-Xm[sx].*|-XX:((Max|Min|Initial)(HeapSize|RAMPercentage|RAMFraction)|MaxRAM)=.*");

  /// The file beside the folder of the jars that has a rank's classes, as the build makes it.
  static final String ARCHIVE = "ranks.jsa";

  /// The file beside it that says where the jars were when it was made.
  static final String MADE_FOR = "ranks.path";

  private ChildJvm() {}

  /// Returns the command that starts a rank.
  ///
  /// @param jvmArguments the user's options for the JVM; they win
  /// @param arguments the program's arguments
  static List<String> command(List<String> jvmArguments, List<String> arguments) {
    boolean modular = RankMain.class.getModule().isNamed();
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    if (ModuleFinder.ofSystem().find(VECTOR_API).isPresent()) {
      command.add("--add-modules=" + VECTOR_API);
    }
    command.add("--enable-native-access=" + (modular ? nativeModules() : UNNAMED));
    if (!modular || ModuleLayer.boot().findModule(AGRONA).isPresent()) {
      command.add("--add-exports=java.base/jdk.internal.misc=" + (modular ? AGRONA : UNNAMED));
    }
    // A file in /tmp that a killed process would leave there.
    command.add("-XX:-UsePerfData");
    heap(jvmArguments, command);
    if (modular) {
      command.addAll(archive(System.getProperty("jdk.module.path")));
    }
    for (String name : List.of("lockstep.home", "stdout.encoding", "stderr.encoding")) {
      String value = System.getProperty(name);
      if (value != null) {
        command.add("-D" + name + "=" + value);
      }
    }
    command.addAll(jvmArguments);
    if (modular) {
      command.add("--module-path=" + System.getProperty("jdk.module.path"));
      command.add(
          "--module=" + RankMain.class.getModule().getName() + "/" + RankMain.class.getName());
    } else {
      command.add("--class-path=" + System.getProperty("java.class.path"));
      command.add(RankMain.class.getName());
    }
    command.addAll(arguments);
    return command;
  }

  /// Returns the options for an archive of classes, if there is one: it spares a rank most of what
  /// loading them takes. One of other jars or another Java is passed over in silence; one of jars
  /// that were moved or copied since would end the JVM, so it is not named.
  ///
  /// @param modulePath of this JVM
  static List<String> archive(@Nullable String modulePath) {
    if (modulePath == null || modulePath.contains(File.pathSeparator)) {
      return List.of();
    }
    Path jars = Path.of(modulePath).toAbsolutePath();
    Path file = jars.resolveSibling(ARCHIVE);
    return Files.isReadable(file) && isMadeFor(jars)
        ? List.of("-XX:SharedArchiveFile=" + file, "-Xlog:cds*=off", "-Xlog:aot*=off")
        : List.of();
  }

  private static boolean isMadeFor(Path jars) {
    try {
      return Files.readString(jars.resolveSibling(MADE_FOR)).strip().equals(jars.toString());
    } catch (IOException _) {
      return false;
    }
  }

  private static String nativeModules() {
    return NATIVE.stream()
        .filter(name -> ModuleLayer.boot().findModule(name).isPresent())
        .collect(Collectors.joining(","));
  }

  /// Tensors live off the heap and a training step allocates nothing on it: it is small, and its
  /// collector the one that starts quickest. Two collectors, or a heap that starts larger than it
  /// may get, are errors of the JVM: what the user says replaces ours.
  private static void heap(List<String> jvmArguments, List<String> command) {
    if (jvmArguments.stream().noneMatch(argument -> HEAP_SIZE.matcher(argument).matches())) {
      command.add("-Xms" + HEAP);
      command.add("-Xmx" + HEAP);
    }
    if (jvmArguments.stream().noneMatch(argument -> argument.matches("-XX:\\+Use\\w+GC"))) {
      command.add("-XX:+UseSerialGC");
    }
  }
}
