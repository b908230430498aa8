package dev.lockstep.deadline;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/// What else the machine does: says of a time that was too long whether the product or the
/// machine's other work may be slow.
public final class MachineLoad {
  private MachineLoad() {}

  /// Describes the load for the failure of a test that compares times.
  public static String now() {
    int cores = Runtime.getRuntime().availableProcessors();
    String load;
    try {
      load = Files.readString(Path.of("/proc/loadavg")).strip();
    } catch (IOException e) {
      load = e.toString();
    }
    return "time on a machine with cores=%d, /proc/loadavg=%s".formatted(cores, load);
  }
}
