package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A Python that has torch and transformers, and the scripts of this package that it runs.
///
/// @param executable the interpreter
/// @param folder for scripts and what they print
record PythonJudge(String executable, Path folder) {
  private static final ObjectMapper JSON = new ObjectMapper();

  /// Finds the interpreter; without one the test is skipped by name.
  static PythonJudge find(Path folder) throws Exception {
    String named = System.getenv("LOCKSTEP_PYTHON");
    String home = System.getProperty("lockstep.home", "..");
    String python = named == null ? home + "/target/venv/bin/python" : named;
    boolean found = Files.isExecutable(Path.of(python));
    for (String module : List.of("torch", "transformers")) {
      assumeTrue(
          found && canFind(python, module),
          "judge "
              + module
              + ": no Python with "
              + module
              + " (set LOCKSTEP_PYTHON, or run .ci/run once)");
    }
    return new PythonJudge(python, folder);
  }

  private static boolean canFind(String python, String module) throws Exception {
    String program =
        "import importlib.util, sys; sys.exit(not importlib.util.find_spec(sys.argv[1]))";
    return new ProcessBuilder(python, "-c", program, module).start().waitFor() == 0;
  }

  /// Runs a script, offline, and returns the JSON that it prints.
  JsonNode run(String script, String... arguments) throws Exception {
    Path file = folder.resolve(script);
    if (!Files.exists(file)) {
      try (InputStream resource = getClass().getResourceAsStream(script)) {
        if (resource == null) {
          throw new IOException(script + " is no resource");
        }
        Files.copy(resource, file);
      }
    }
    Path out = folder.resolve("out.json");
    Path err = folder.resolve("err.txt");
    List<String> command = new ArrayList<>(List.of(executable, file.toString()));
    command.addAll(List.of(arguments));
    ProcessBuilder builder =
        new ProcessBuilder(command).redirectOutput(out.toFile()).redirectError(err.toFile());
    builder.environment().put("HF_HUB_OFFLINE", "1");
    int code = builder.start().waitFor();
    assertThat(code).describedAs(Files.readString(err)).isZero();
    return JSON.readTree(Files.readString(out));
  }
}
