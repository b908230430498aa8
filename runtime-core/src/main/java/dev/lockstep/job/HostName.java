package dev.lockstep.job;

import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;

/// Who this machine is.
public final class HostName {
  private HostName() {}

  /// Returns the name of this host; asks the kernel, not the network.
  public static String local() {
    String name = read(Path.of("/proc/sys/kernel/hostname"));
    if (!name.isEmpty()) {
      return name;
    }
    try {
      return InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException _) {
      return "localhost";
    }
  }

  /// Returns what tells two running kernels apart even where their names are equal.
  static String kernel() {
    return read(Path.of("/proc/sys/kernel/random/boot_id"));
  }

  private static String read(Path file) {
    try {
      return Files.readString(file).strip();
    } catch (IOException _) {
      return "";
    }
  }
}
