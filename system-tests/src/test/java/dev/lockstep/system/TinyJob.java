package dev.lockstep.system;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/// The main job made small: a text of a few kilobytes and a model that takes a step in a
/// millisecond.
final class TinyJob {
  private static final String[] WORDS = {
    "public", "static", "final", "int", "return", "new", "this", "class"
  };

  private final Path folder;

  /// Writes the text below a folder.
  TinyJob(Path folder) throws IOException {
    this.folder = folder;
    Path text = Files.createDirectories(text());
    Random random = new Random(5);
    for (int file = 0; file < 20; file++) {
      StringBuilder content = new StringBuilder();
      for (int word = 0; word < 200; word++) {
        content
            .append(WORDS[random.nextInt(WORDS.length)])
            .append(random.nextInt(8) == 0 ? ";\n" : " ");
      }
      Files.writeString(text.resolve("f" + file + ".txt"), content);
    }
  }

  Path text() {
    return folder.resolve("text");
  }

  Path cache() {
    return folder.resolve("cache");
  }

  /// Returns an output folder.
  Path run(String name) {
    return folder.resolve("runs").resolve(name);
  }

  /// Returns `gpt` and its options.
  ///
  /// @param run name of the output folder
  /// @param more options beside those of the model
  String[] gpt(String run, String... more) {
    List<String> arguments =
        new ArrayList<>(List.of("gpt", "--data", text().toString(), "--cache", cache().toString()));
    arguments.addAll(List.of("--layers", "2", "--heads", "2", "--width", "32"));
    arguments.addAll(List.of("--context", "16", "--micro-batch", "2"));
    arguments.addAll(List.of("--out", run(run).toString()));
    arguments.addAll(Arrays.asList(more));
    return arguments.toArray(String[]::new);
  }

  /// Returns `run`, its options, and those of [#gpt].
  static String[] with(List<String> launch, String[] job) {
    List<String> arguments = new ArrayList<>(launch);
    arguments.addAll(Arrays.asList(job));
    return arguments.toArray(String[]::new);
  }
}
