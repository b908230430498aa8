package dev.lockstep.system;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;

/// What ranks of a job that nobody launches need to find each other.
final class Rendezvous {
  private Rendezvous() {}

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
