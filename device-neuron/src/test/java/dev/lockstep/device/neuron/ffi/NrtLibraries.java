package dev.lockstep.device.neuron.ffi;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/// Opens libraries that tests have built.
public final class NrtLibraries {
  private NrtLibraries() {}

  /// What a variable of this process is to C; empty if there is none.
  public static Optional<String> variable(String name) {
    return Optional.ofNullable(LibC.getenv(name));
  }

  /// Looks for the runtime in one file.
  public static NrtLookup find(Path file) {
    return NrtLookup.find(List.of(file.toString()));
  }
}
