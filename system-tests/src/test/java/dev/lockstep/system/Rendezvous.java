package dev.lockstep.system;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Map;

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

  /// Returns what a rank of one host that nobody launches is told.
  static Map<String, String> onOneHost(int rank, int ranks, int port, Path folder)
      throws IOException {
    return Map.of(
        "RANK",
        "" + rank,
        "LOCAL_RANK",
        "" + rank,
        "WORLD_SIZE",
        "" + ranks,
        "LOCAL_WORLD_SIZE",
        "" + ranks,
        "MASTER_ADDR",
        "127.0.0.1",
        "MASTER_PORT",
        "" + port,
        "LOCKSTEP_STORE_PORT",
        "" + port,
        "LOCKSTEP_JOB_TOKEN_FILE",
        token(folder).toString());
  }
}
