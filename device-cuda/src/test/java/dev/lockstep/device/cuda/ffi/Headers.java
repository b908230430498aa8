package dev.lockstep.device.cuda.ffi;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// Compares the bindings' numbers with NVIDIA's headers by a C++ compiler.
final class Headers {
  private Headers() {}

  /// Returns the Java source of a class of this module's bindings.
  static Path source(String type) {
    return Path.of(
        System.getProperty("lockstep.home"),
        "device-cuda/src/main/java/dev/lockstep/device/cuda/ffi",
        type + ".java");
  }

  /// Appends a comparison of each constant whose documentation names what it stands for; returns
  /// how many there are.
  ///
  /// @param constant finds the header's name, ours and the number
  static int compare(Path source, Pattern constant, StringBuilder program) throws IOException {
    int constants = 0;
    Matcher found = constant.matcher(Files.readString(source));
    while (found.find()) {
      constants++;
      program.append(
          "static_assert((int)(%s) == %s, \"%s\");%n"
              .formatted(found.group(1), found.group(3), found.group(2)));
    }
    return constants;
  }

  /// Returns what the compiler complains of; nothing if all is well.
  static String complaints(Path folder, String program, List<Path> includes)
      throws IOException, InterruptedException {
    Path source = Files.writeString(folder.resolve("program.cpp"), program);
    List<String> command = new ArrayList<>(List.of("g++", "-std=c++17", "-fsyntax-only"));
    includes.forEach(include -> command.add("-I" + include));
    command.add(source.toString());
    Process compiler = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(compiler.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return compiler.waitFor() == 0 ? "" : output;
  }
}
