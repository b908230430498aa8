package dev.lockstep.job;

import dev.lockstep.cache.PrivateMode;
import dev.lockstep.failure.ConfigurationException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// The job's private folder on one host. The launcher's agent gives it, or the host's first rank
/// makes it and tells the others through the store; the last of them to leave removes it.
final class JobDirectory {
  private static final Logger LOG = LoggerFactory.getLogger(JobDirectory.class);
  private static final Path SHARED_MEMORY = Path.of("/dev/shm");

  private final Path path;
  private final String key;
  private final int sharers;
  private final boolean given;
  private final Thread atExit;
  private volatile boolean left;

  private JobDirectory(Path path, String key, int sharers, boolean given) {
    this.path = path;
    this.key = key;
    this.sharers = sharers;
    this.given = given;
    this.atExit = new Thread(this::removeUnlessLeft, "lockstep-job-directory");
    if (!given) {
      Runtime.getRuntime().addShutdownHook(atExit);
    }
  }

  /// Returns the folder that the ranks of this host share.
  static JobDirectory open(
      Map<String, String> environment,
      Membership membership,
      Placement placement,
      Duration timeout) {
    String given = environment.get(JobVariables.JOB_DIRECTORY);
    if (given != null && !given.isBlank()) {
      return new JobDirectory(checked(Path.of(given)), "", 0, true);
    }
    int leader = placement.hosts().indexOf(placement.host());
    String key = "lockstep/directory/" + leader;
    int sharers = (int) placement.hosts().stream().filter(placement.host()::equals).count();
    Path path;
    if (placement.isLocalLeader()) {
      path = told(make(), membership.store(), key);
    } else {
      byte[] name = membership.store().get(key, timeout);
      path = checked(Path.of(new String(name, StandardCharsets.UTF_8)));
    }
    return new JobDirectory(path, key, sharers, false);
  }

  /// Tells the others of a folder that was made. One that nobody can be told of is removed.
  static Path told(Path made, Store store, String key) {
    try {
      store.set(key, made.toString().getBytes(StandardCharsets.UTF_8));
      return made;
    } catch (RuntimeException | Error failure) {
      remove(made);
      throw failure;
    }
  }

  private static Path checked(Path path) {
    PrivateFiles.check(JobVariables.JOB_DIRECTORY, path);
    if (!Files.isDirectory(path) || !Files.isWritable(path)) {
      throw new ConfigurationException(
          JobVariables.JOB_DIRECTORY,
          path.toString(),
          "job folder cannot be written: %s=%s".formatted(JobVariables.JOB_DIRECTORY, path));
    }
    return path;
  }

  private static Path make() {
    Path parent =
        Files.isWritable(SHARED_MEMORY)
            ? SHARED_MEMORY
            : Path.of(System.getProperty("java.io.tmpdir", "/tmp"));
    return makeIn(parent);
  }

  /// Makes the folder.
  ///
  /// @throws ConfigurationException if `parent` cannot be written
  static Path makeIn(Path parent) {
    try {
      // Everybody may list the parent: the job's number, by which ranks know each other's frames,
      // is no part of the name.
      return Files.createTempDirectory(parent, "lockstep-job-", PrivateMode.folder());
    } catch (IOException e) {
      throw new ConfigurationException(
          JobVariables.JOB_DIRECTORY,
          "",
          "job folder cannot be made: parent=%s, cause=%s (mount a writable /tmp or /dev/shm, or set %s to a folder of mode 0700)"
              .formatted(parent, e, JobVariables.JOB_DIRECTORY),
          e);
    }
  }

  Path path() {
    return path;
  }

  /// Gives up the shutdown hook, which runs beside all others, and returns what it would have done.
  Runnable takeOverExit() {
    removeHook();
    return this::removeUnlessLeft;
  }

  private void removeUnlessLeft() {
    if (!given && !left) {
      remove(path);
    }
  }

  /// Leaves the folder; the last rank of the host, or any rank of a failed job, removes it.
  void leave(Store store) {
    if (given) {
      return;
    }
    boolean last;
    try {
      last = store.add(key + "/left", 1) == sharers;
    } catch (RuntimeException _) {
      last = true; // The job has failed or the store is gone: nobody may need the folder any more.
    }
    if (last) {
      remove(path);
    }
    left = true;
    removeHook();
  }

  private void removeHook() {
    try {
      Runtime.getRuntime().removeShutdownHook(atExit);
    } catch (IllegalStateException _) {
      // The JVM is going down and runs the hook.
    }
  }

  private static void remove(Path path) {
    try {
      PrivateFiles.deleteTree(path);
    } catch (IOException e) {
      LOG.warn("job folder cannot be removed: path={}", path, e);
    }
  }
}
