package dev.lockstep.device.neuron.ffi;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;

/// The search for the Neuron runtime: found, or a sentence that says what to install.
public sealed interface NrtLookup {
  /// Environment variable that names the library's file.
  String VARIABLE = "LOCKSTEP_LIBNRT";

  /// The library is there.
  ///
  /// @param library its functions
  /// @param file what was opened
  record Found(Nrt library, String file) implements NrtLookup {}

  /// The library is not there or cannot be used.
  ///
  /// @param reason one sentence
  record Absent(String reason) implements NrtLookup {}

  /// Looks for the library: in the file that [#VARIABLE] names, else where the system's linker
  /// looks and where Neuron's packages put it. Never throws.
  static NrtLookup find(Map<String, String> environment) {
    String named = environment.getOrDefault(VARIABLE, "");
    return find(
        named.isEmpty()
            ? List.of("libnrt.so.1", "/opt/aws/neuron/lib/libnrt.so.1")
            : List.of(named));
  }

  /// Looks for the library in these files, in this order. Never throws.
  static NrtLookup find(List<String> files) {
    List<String> tried = new ArrayList<>();
    for (String file : files) {
      try {
        return new Found(NativeNrt.open(file), file);
      } catch (IllegalArgumentException notThere) {
        tried.add(file);
      } catch (NoSuchElementException incomplete) {
        return new Absent(
            "library is not the Neuron runtime, or too old: file=%s, cause=%s (install aws-neuronx-runtime-lib)"
                .formatted(file, incomplete.getMessage()));
      } catch (LinkageError | UnsupportedOperationException | IllegalCallerException denied) {
        return new Absent(denied(denied));
      }
    }
    return new Absent(
        "the Neuron runtime is not installed: tried=%s (install aws-neuronx-runtime-lib; set %s to its file if it lies elsewhere)"
            .formatted(tried, VARIABLE));
  }

  private static String denied(Throwable failure) {
    Throwable cause = failure.getCause() == null ? failure : failure.getCause();
    return cause instanceof IllegalCallerException
        ? "the JVM denies native access: module=dev.lockstep.device.neuron (start java with"
            + " --enable-native-access=dev.lockstep.device.neuron, or =ALL-UNNAMED on the class"
            + " path)"
        : "this JVM calls no native functions: cause=" + cause;
  }
}
