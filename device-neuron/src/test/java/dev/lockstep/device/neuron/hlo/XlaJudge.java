package dev.lockstep.device.neuron.hlo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.graph.ValueType;
import dev.lockstep.process.Ports;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/// XLA as jaxlib brings it: compiles modules for the host's processor and runs them, replicas of
/// one module in one process, those that have modules of their own each in another.
final class XlaJudge {
  private final String python;
  private final Path folder;
  private final List<Run> runs = new ArrayList<>();
  private final List<String> manifest = new ArrayList<>();

  /// What is run together.
  ///
  /// @param emitted the module of all replicas, or one for each
  private record Run(List<Emitted> emitted, int replicas) {
    Emitted of(int replica) {
      return emitted.get(emitted.size() == 1 ? 0 : replica);
    }
  }

  private XlaJudge(String python, Path folder) {
    this.python = python;
    this.folder = folder;
  }

  /// Finds a Python that has jax; without one the test is skipped by name.
  static XlaJudge find(Path folder) throws IOException, InterruptedException {
    String named = System.getenv("LOCKSTEP_PYTHON");
    String home = System.getProperty("lockstep.home", "..");
    String python = named == null ? home + "/target/venv/bin/python" : named;
    String program = "import importlib.util, sys; sys.exit(not importlib.util.find_spec('jax'))";
    assumeTrue(
        Files.isExecutable(Path.of(python))
            && new ProcessBuilder(python, "-c", program).start().waitFor() == 0,
        "judge jax: no Python with jax (set LOCKSTEP_PYTHON, or run .ci/run once)");
    return new XlaJudge(python, folder);
  }

  /// Adds a module that all replicas run to what is run together.
  ///
  /// @param inputs for each replica the graph's inputs
  void add(Emitted emitted, List<Map<String, double[]>> inputs) throws IOException {
    add(List.of(emitted), inputs);
  }

  /// Adds the modules of replicas that each have their own, and meet in collectives as processes.
  ///
  /// @param emitted one for each replica
  /// @param inputs for each replica its graph's inputs
  void addApart(List<Emitted> emitted, List<Map<String, double[]>> inputs) throws IOException {
    assertThat(emitted).hasSize(inputs.size()).hasSizeGreaterThan(1);
    add(emitted, inputs);
  }

  private void add(List<Emitted> emitted, List<Map<String, double[]>> inputs) throws IOException {
    int number = runs.size();
    Run run = new Run(emitted, inputs.size());
    runs.add(run);
    List<String> modules = new ArrayList<>();
    for (int i = 0; i < emitted.size(); i++) {
      String file = "%d.%d.pb".formatted(number, i);
      Files.write(folder.resolve(file), emitted.get(i).module().proto());
      List<String> parameters = new ArrayList<>();
      for (ValueType type : emitted.get(i).parameterTypes()) {
        parameters.add("{\"dtype\":\"%s\",\"shape\":%s}".formatted(type.dtype(), type.shape()));
      }
      modules.add(
          "{\"file\":\"%s\",\"parameters\":[%s]}".formatted(file, String.join(",", parameters)));
    }
    for (int replica = 0; replica < inputs.size(); replica++) {
      Emitted own = run.of(replica);
      List<double[]> elements = own.parameters(replica, inputs.get(replica));
      for (int i = 0; i < elements.size(); i++) {
        Files.write(
            folder.resolve("%d.%d.in.%d".formatted(number, replica, i)),
            Elements.encode(own.parameterTypes().get(i).dtype(), elements.get(i)));
      }
    }
    manifest.add(
        "{\"replicas\":%d,\"modules\":[%s]}".formatted(inputs.size(), String.join(",", modules)));
  }

  /// Runs the modules.
  ///
  /// @return for each of what was added and each replica the graph's outputs
  List<List<Map<String, double[]>>> run() throws IOException, InterruptedException {
    try (InputStream resource =
        Objects.requireNonNull(XlaJudge.class.getResourceAsStream("run_hlo.py"))) {
      Files.copy(resource, folder.resolve("run_hlo.py"));
    }
    Files.writeString(folder.resolve("manifest.json"), "[" + String.join(",\n", manifest) + "]");
    for (int processes : runs.stream().map(each -> each.emitted.size()).distinct().toList()) {
      run(processes);
    }
    List<List<Map<String, double[]>>> all = new ArrayList<>();
    for (int number = 0; number < runs.size(); number++) {
      List<Map<String, double[]>> replicas = new ArrayList<>();
      for (int replica = 0; replica < runs.get(number).replicas; replica++) {
        replicas.add(outputs(number, replica));
      }
      all.add(replicas);
    }
    return all;
  }

  /// Waits until one of them ends; a test's deadline ends the wait.
  private static void awaitOne(List<Process> running) throws InterruptedException {
    try {
      CompletableFuture.anyOf(
              running.stream().map(Process::onExit).toArray(CompletableFuture<?>[]::new))
          .get();
    } catch (ExecutionException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  /// Runs what has as many modules as processes; the first that fails ends the others.
  private void run(int processes) throws IOException, InterruptedException {
    List<Process> started = new ArrayList<>();
    try {
      List<String> place = new ArrayList<>();
      for (int rank = 0; rank < processes; rank++) {
        if (processes > 1) {
          String port = rank == 0 ? "" + Ports.free() : place.getLast();
          place = List.of("" + rank, "" + processes, port);
        }
        List<String> command = new ArrayList<>(List.of(python, "run_hlo.py", folder.toString()));
        command.addAll(place);
        started.add(
            new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectOutput(said(rank).toFile())
                .start());
      }
      List<Process> running = new ArrayList<>(started);
      while (!running.isEmpty()) {
        awaitOne(running);
        for (Process ended : running.stream().filter(each -> !each.isAlive()).toList()) {
          int rank = started.indexOf(ended);
          assertThat(ended.exitValue()).as(() -> "rank " + rank + ": " + last(said(rank))).isZero();
          running.remove(ended);
        }
      }
    } finally {
      started.forEach(Process::destroyForcibly);
    }
  }

  private Path said(int rank) {
    return folder.resolve("said.%d.txt".formatted(rank));
  }

  private static String last(Path said) {
    try {
      String text = Files.readString(said);
      return text.substring(Math.max(0, text.length() - 8000));
    } catch (IOException e) {
      return e.toString();
    }
  }

  private Map<String, double[]> outputs(int number, int replica) throws IOException {
    Emitted emitted = runs.get(number).of(replica);
    List<double[]> results = new ArrayList<>();
    for (HloModule.Port port : emitted.module().outputs()) {
      Path file = folder.resolve("%d.%d.out.%d".formatted(number, replica, results.size()));
      results.add(Elements.decode(port.type().dtype(), Files.readAllBytes(file)));
    }
    return emitted.outputs(results);
  }
}
