package dev.lockstep.device.neuron.ffi;

import java.nio.file.Path;
import java.util.List;

/// Opens libraries that tests have built.
public final class NrtLibraries {
  private NrtLibraries() {}

  /// Looks for the runtime in one file.
  public static NrtLookup find(Path file) {
    return NrtLookup.find(List.of(file.toString()));
  }
}
