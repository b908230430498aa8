package dev.lockstep.launcher.doctor;

import dev.lockstep.failure.LockstepException;
import dev.lockstep.memory.Backing;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import java.io.IOException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/// What processes of this machine can share.
final class SharedMemory {
  private static final Path TMPFS = Path.of("/dev/shm");
  // What an embedded Aeron driver of two ranks takes, rounded up.
  private static final long ENOUGH_BYTES = 64L << 20;
  private static final long PROBE_BYTES = 4096;
  private static final int PEER_SECONDS = 5;

  List<Finding> findings() {
    return List.of(tmpfs(), memoryFiles());
  }

  private static Finding tmpfs() {
    String remedy =
        " (mount a tmpfs there; in a container: --shm-size=1g. Until then Aeron uses "
            + System.getProperty("java.io.tmpdir")
            + ")";
    if (!Files.isWritable(TMPFS)) {
      return Finding.absent("/dev/shm", "cannot be written" + remedy);
    }
    try {
      FileStore store = Files.getFileStore(TMPFS);
      String detail =
          "%s, %s free"
              .formatted(
                  ProcFiles.size(store.getTotalSpace()), ProcFiles.size(store.getUsableSpace()));
      return store.getUsableSpace() < ENOUGH_BYTES
          ? Finding.absent("/dev/shm", detail + remedy)
          : Finding.ok("/dev/shm", detail);
    } catch (IOException e) {
      return Finding.absent("/dev/shm", e.getMessage() + remedy);
    }
  }

  /// Makes a memory file and lets another process read it, as ranks do.
  private static Finding memoryFiles() {
    String name = "memory files";
    try (MemoryPool pool = MemoryPool.root("doctor", PROBE_BYTES);
        Buffer buffer = HostMemory.allocateShared(pool, "probe", PROBE_BYTES, TMPFS)) {
      if (!(buffer.registration().region().backing() instanceof Backing.SharedFile file)
          || !file.path().startsWith("/proc/")) {
        return Finding.absent(
            name, "no memfd: shared memory goes through files in /dev/shm (Linux 3.17 has it)");
      }
      return readableByPeer(file.path())
          ? Finding.ok(name, "memfd, read by another process through /proc/PID/fd")
          : Finding.absent(
              name,
              "another process cannot open /proc/PID/fd: ranks of this host cannot open each"
                  + " other's memory (take capabilities from the java program, setcap -r, and"
                  + " whatever else forbids a process to look at others of its user)");
    } catch (LockstepException | IllegalStateException e) {
      return Finding.absent(name, String.valueOf(e.getMessage()));
    }
  }

  private static boolean readableByPeer(String path) {
    try {
      Process peer =
          new ProcessBuilder("head", "-c", "1", path)
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
      if (!peer.waitFor(PEER_SECONDS, TimeUnit.SECONDS)) {
        peer.destroyForcibly();
        return false;
      }
      return peer.exitValue() == 0;
    } catch (IOException _) {
      return false;
    } catch (InterruptedException _) {
      Thread.currentThread().interrupt();
      return false;
    }
  }
}
