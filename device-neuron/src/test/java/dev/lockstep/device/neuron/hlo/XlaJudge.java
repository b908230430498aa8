package dev.lockstep.device.neuron.hlo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.graph.ValueType;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/// XLA as jaxlib brings it: compiles modules for the host's processor and runs them.
final class XlaJudge {
  private final String python;
  private final Path folder;
  private final List<Emitted> modules = new ArrayList<>();
  private final StringBuilder manifest = new StringBuilder();

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

  /// Adds a module to those that are run together.
  ///
  /// @param inputs for each replica the graph's inputs
  void add(Emitted emitted, List<Map<String, double[]>> inputs) throws IOException {
    int number = modules.size();
    modules.add(emitted);
    Files.write(folder.resolve(number + ".pb"), emitted.module().proto());
    List<String> parameters = new ArrayList<>();
    List<ValueType> types = emitted.parameterTypes();
    for (int i = 0; i < types.size(); i++) {
      ValueType type = types.get(i);
      parameters.add("{\"dtype\":\"%s\",\"shape\":%s}".formatted(type.dtype(), type.shape()));
      for (int replica = 0; replica < inputs.size(); replica++) {
        double[] elements = emitted.parameters(replica, inputs.get(replica)).get(i);
        Files.write(
            folder.resolve("%d.%d.in.%d".formatted(number, replica, i)),
            Elements.encode(type.dtype(), elements));
      }
    }
    manifest.append(
        "%s{\"file\":\"%d.pb\",\"replicas\":%d,\"parameters\":[%s]}"
            .formatted(
                number == 0 ? "" : ",\n",
                number,
                emitted.replicas(),
                String.join(",", parameters)));
  }

  /// Runs the modules.
  ///
  /// @return for each module and each replica the graph's outputs
  List<List<Map<String, double[]>>> run() throws IOException, InterruptedException {
    Path script = folder.resolve("run_hlo.py");
    try (InputStream resource =
        Objects.requireNonNull(XlaJudge.class.getResourceAsStream("run_hlo.py"))) {
      Files.copy(resource, script);
    }
    Files.writeString(folder.resolve("manifest.json"), "[" + manifest + "]");
    Path said = folder.resolve("said.txt");
    Process process =
        new ProcessBuilder(python, script.toString(), folder.toString())
            .redirectErrorStream(true)
            .redirectOutput(said.toFile())
            .start();
    try {
      assertThat(process.waitFor()).as(() -> last(said)).isZero();
    } finally {
      process.destroyForcibly();
    }
    List<List<Map<String, double[]>>> all = new ArrayList<>();
    for (int number = 0; number < modules.size(); number++) {
      List<Map<String, double[]>> replicas = new ArrayList<>();
      for (int replica = 0; replica < modules.get(number).replicas(); replica++) {
        replicas.add(outputs(number, replica));
      }
      all.add(replicas);
    }
    return all;
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
    Emitted emitted = modules.get(number);
    List<double[]> results = new ArrayList<>();
    for (HloModule.Port port : emitted.module().outputs()) {
      Path file = folder.resolve("%d.%d.out.%d".formatted(number, replica, results.size()));
      results.add(Elements.decode(port.type().dtype(), Files.readAllBytes(file)));
    }
    return emitted.outputs(results);
  }
}
