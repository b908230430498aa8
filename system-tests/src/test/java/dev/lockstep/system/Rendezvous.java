package dev.lockstep.system;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;

/// What ranks of a job that nobody launches need to find each other.
final class Rendezvous {
  private Rendezvous() {}

  /// Returns a port of loopback that nobody listens at.
  static String freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return Integer.toString(socket.getLocalPort());
    }
  }

  /// Returns the file with the job's token, which is made in a folder unless it is there.
  static Path token(Path folder) throws IOException {
    Path token = folder.resolve("token");
    if (!Files.exists(token)) {
      Files.createFile(
          token,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
      Files.writeString(token, "what all ranks of this job know");
    }
    return token;
  }
}
