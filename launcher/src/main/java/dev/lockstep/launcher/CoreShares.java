package dev.lockstep.launcher;

import dev.lockstep.job.Processors;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// How this machine's cores are shared out to a node's ranks, and the program that binds them.
///
/// A core is all of the processors that the system names as its threads and this process may run
/// on. Neighbours in its numbering lie near each other, so a rank gets cores in a row.
final class CoreShares {
  private static final Path SYSTEM = Path.of("/sys/devices/system/cpu");
  private static final String PROGRAM = "taskset";
  private static final Duration TO_BIND = Duration.ofSeconds(2);

  private CoreShares() {}

  /// Returns why ranks cannot be bound, and the remedy; empty if they can.
  static Optional<String> refusal(int ranks) {
    int cores = cores(online(Processors.own(), SYSTEM), SYSTEM).size();
    if (cores == 0) {
      return Optional.of("this system does not say where a process may run (leave the option out)");
    }
    if (cores < ranks) {
      return Optional.of(
          "there are fewer cores than ranks: cores=%d, ranks=%d (start fewer ranks, or leave the option out)"
              .formatted(cores, ranks));
    }
    return program(System.getenv("PATH")).isPresent()
        ? Optional.empty()
        : Optional.of(PROGRAM + " is not installed (install util-linux, or leave the option out)");
  }

  /// Returns the beginning of the command that starts a rank on its share.
  ///
  /// @throws IllegalStateException if there is a [#refusal]
  static List<String> command(int localRank, int ranks) {
    Path program =
        program(System.getenv("PATH"))
            .orElseThrow(() -> new IllegalStateException(PROGRAM + " is gone"));
    List<Integer> share = share(cores(online(Processors.own(), SYSTEM), SYSTEM), localRank, ranks);
    return List.of(
        program.toString(),
        "--cpu-list",
        share.stream().map(String::valueOf).collect(Collectors.joining(",")));
  }

  /// Returns those of the processors that are there: the system may allow some that are not.
  ///
  /// @param system where it lists those that are; where it does not, all count
  static List<Integer> online(List<Integer> allowed, Path system) {
    try {
      List<Integer> online = Processors.of(Files.readString(system.resolve("online")).strip());
      return online.isEmpty() ? allowed : allowed.stream().filter(online::contains).toList();
    } catch (IOException _) {
      return allowed;
    }
  }

  /// Returns whether the program binds a process here: it may be another one of its name, and a
  /// container may forbid it.
  static boolean works(int ranks) {
    List<String> command = new ArrayList<>(command(0, ranks));
    command.add("true");
    try {
      Process process =
          new ProcessBuilder(command)
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
      return process.waitFor(TO_BIND.toMillis(), TimeUnit.MILLISECONDS) && process.exitValue() == 0;
    } catch (IOException _) {
      return false;
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  /// Returns the processors of each core, in the order of their first ones.
  ///
  /// @param allowed the processors that count
  /// @param system where the system describes them; one that it does not describe is a core
  static List<List<Integer>> cores(List<Integer> allowed, Path system) {
    Map<Integer, TreeSet<Integer>> cores = new LinkedHashMap<>();
    for (int processor : allowed) {
      int first = Math.min(processor, firstSibling(processor, system));
      cores.computeIfAbsent(first, _ -> new TreeSet<>()).add(processor);
    }
    return cores.values().stream().map(List::copyOf).toList();
  }

  private static int firstSibling(int processor, Path system) {
    Path file = system.resolve("cpu" + processor).resolve("topology/thread_siblings_list");
    try {
      return Processors.of(Files.readString(file).strip()).stream().findFirst().orElse(processor);
    } catch (IOException _) {
      return processor;
    }
  }

  /// Returns the processors of one rank.
  static List<Integer> share(List<List<Integer>> cores, int localRank, int ranks) {
    int from = (int) ((long) localRank * cores.size() / ranks);
    int to = (int) ((localRank + 1L) * cores.size() / ranks);
    return cores.subList(from, to).stream().flatMap(Collection::stream).toList();
  }

  private static Optional<Path> program(String searched) {
    return Stream.ofNullable(searched)
        .flatMap(path -> Stream.of(path.split(File.pathSeparator)))
        .filter(folder -> !folder.isBlank())
        .map(folder -> Path.of(folder, PROGRAM))
        .filter(Files::isExecutable)
        .findFirst();
  }
}
