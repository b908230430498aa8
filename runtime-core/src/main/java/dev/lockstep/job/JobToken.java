package dev.lockstep.job;

import dev.lockstep.cache.Digests;
import dev.lockstep.cache.PrivateMode;
import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.SecureRandom;
import java.util.HexFormat;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The secret that keeps others out of a job.
///
/// The launcher names a file that holds it. Where a launcher that is not ours names none and the
/// job stays on one machine, rank 0 makes one and leaves it in a folder that only its user can
/// open; a job that spans nodes must be given one.
final class JobToken {
  private static final Logger LOG = LoggerFactory.getLogger(JobToken.class);
  static final int SHORTEST_BYTES = 16;
  private static final int LONGEST_BYTES = 4096;

  /// What of a job's name is in a file's for whoever looks at the folder.
  private static final int READABLE_CHARS = 60;

  /// What of its digest tells it from all others: 64 bits.
  private static final int DIGEST_CHARS = 16;

  private JobToken() {}

  /// Returns where this rank has the token from.
  ///
  /// @throws ConfigurationException if there is none and none may be made, or others can read it
  static TokenSource find(LaunchEnvironment launch, Variables variables) {
    Optional<String> given = variables.text(JobVariables.TOKEN_FILE);
    if (given.isPresent()) {
      return new Given(read(Path.of(given.get())));
    }
    if (launch.spansNodes() || launch.agentHostsStore()) {
      throw new ConfigurationException(
          JobVariables.TOKEN_FILE,
          "",
          "job has no token: %s is not set, worldSize=%d, store=%s:%d (put a secret of %d bytes or more into a file of mode 0600 on every node and set %s to it)"
              .formatted(
                  JobVariables.TOKEN_FILE,
                  launch.worldSize(),
                  launch.storeHost(),
                  launch.storePort(),
                  SHORTEST_BYTES,
                  JobVariables.TOKEN_FILE));
    }
    return new Left(userFolder(variables).resolve(fileName(launch)));
  }

  /// The job's name is in it, so that the ranks of one job never read what another has left.
  private static String fileName(LaunchEnvironment launch) {
    String job = launch.jobName();
    return "store-" + launch.storePort() + (job.isEmpty() ? "" : "-" + nameOf(job)) + ".token";
  }

  private static String nameOf(String job) {
    String readable = job.replaceAll("[^A-Za-z0-9._-]", "_");
    return readable.substring(0, Math.min(readable.length(), READABLE_CHARS))
        + "-"
        + Digests.sha256Hex(job).substring(0, DIGEST_CHARS);
  }

  /// Returns the token that a launcher or its user has put into a file.
  ///
  /// @throws ConfigurationException if it cannot be read, others can read it, or its length is
  ///   wrong
  static Bytes read(Path file) {
    PrivateFiles.check(JobVariables.TOKEN_FILE, file);
    try {
      if (Files.size(file) <= LONGEST_BYTES) {
        byte[] text =
            Files.readString(file, StandardCharsets.ISO_8859_1)
                .strip()
                .getBytes(StandardCharsets.ISO_8859_1);
        if (text.length >= SHORTEST_BYTES) {
          return new Bytes(text);
        }
      }
    } catch (IOException e) {
      throw new ConfigurationException(
          JobVariables.TOKEN_FILE,
          file.toString(),
          "token cannot be read: %s=%s, cause=%s (name a file that this user may read)"
              .formatted(JobVariables.TOKEN_FILE, file, e),
          e);
    }
    throw new ConfigurationException(
        JobVariables.TOKEN_FILE,
        file.toString(),
        "token has a wrong length: %s=%s, shortestBytes=%d, longestBytes=%d"
            .formatted(JobVariables.TOKEN_FILE, file, SHORTEST_BYTES, LONGEST_BYTES));
  }

  /// Returns a folder that only this user can open, made if need be.
  private static Path userFolder(Variables variables) {
    Optional<Path> runtime =
        variables.text("XDG_RUNTIME_DIR").map(Path::of).filter(JobToken::isUsable);
    Path folder =
        runtime
            .map(parent -> parent.resolve("lockstep"))
            .orElseGet(
                () ->
                    Path.of(System.getProperty("java.io.tmpdir", "/tmp"))
                        .resolve("lockstep-" + PrivateFiles.ownName()));
    try {
      Files.createDirectory(folder, PrivateMode.folder());
    } catch (FileAlreadyExistsException _) {
      // An earlier job's; whose it is and who may open it is checked below.
    } catch (IOException e) {
      throw new ConfigurationException(
          JobVariables.TOKEN_FILE,
          "",
          "folder for the job's token cannot be made: path=%s, cause=%s (mount a writable /tmp, or give every rank the same file of mode 0600 by %s)"
              .formatted(folder, e, JobVariables.TOKEN_FILE),
          e);
    }
    PrivateFiles.check(JobVariables.TOKEN_FILE, folder, LinkOption.NOFOLLOW_LINKS);
    if (!Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)) {
      throw new ConfigurationException(
          JobVariables.TOKEN_FILE,
          folder.toString(),
          "folder for the job's token is no folder: path=%s (remove it)".formatted(folder));
    }
    return folder;
  }

  private static boolean isUsable(Path folder) {
    return Files.isDirectory(folder) && Files.isWritable(folder);
  }

  /// A token that the launcher names.
  private record Given(Bytes token) implements TokenSource {
    @Override
    public Optional<Bytes> read() {
      return Optional.of(token);
    }

    @Override
    public boolean mayBeStale() {
      return false;
    }

    @Override
    public Bytes make() {
      return token;
    }

    @Override
    public void publish(Bytes made) {}

    @Override
    public void remove() {}
  }

  /// A token that rank 0 makes and leaves for the others.
  private record Left(Path file) implements TokenSource {
    @Override
    public Optional<Bytes> read() {
      try {
        byte[] token = Files.readAllBytes(file);
        return token.length < SHORTEST_BYTES ? Optional.empty() : Optional.of(new Bytes(token));
      } catch (NoSuchFileException _) {
        return Optional.empty();
      } catch (IOException e) {
        throw new UncheckedIOException("token of rank 0 cannot be read: file=" + file, e);
      }
    }

    @Override
    public boolean mayBeStale() {
      return true;
    }

    @Override
    public Bytes make() {
      byte[] token = new byte[32];
      new SecureRandom().nextBytes(token);
      return new Bytes(HexFormat.of().formatHex(token).getBytes(StandardCharsets.US_ASCII));
    }

    @Override
    public void publish(Bytes made) {
      Path folder = file.toAbsolutePath().getParent();
      try {
        Path fresh = Files.createTempFile(folder, "store-", ".new", PrivateMode.file());
        Files.write(fresh, made.array());
        Files.move(fresh, file, StandardCopyOption.ATOMIC_MOVE);
      } catch (IOException e) {
        throw new UncheckedIOException("token of rank 0 cannot be written: file=" + file, e);
      }
    }

    @Override
    public void remove() {
      try {
        Files.deleteIfExists(file);
      } catch (IOException e) {
        LOG.warn("token cannot be removed: file={}", file, e);
      }
    }
  }
}
