package dev.lockstep.train;

import dev.lockstep.train.checkpoint.CheckpointFiles;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;

/// A disk that fails at one of its calls. Thread-safe.
class FailingFiles implements CheckpointFiles {
  private final CheckpointFiles disk = CheckpointFiles.disk();
  private Failure failure = Failure.NONE;
  private long failsAt = Long.MAX_VALUE;
  private long calls;

  /// How it fails.
  enum Failure {
    /// Not at all.
    NONE,
    /// The call does nothing and the process dies.
    KILLED,
    /// The call, and all that write after it, find no space.
    FULL,
    /// A write takes a part of its bytes, and the process dies; another call is done, and it dies.
    TORN,
    /// The calls from this one on throw what no disk does.
    BROKEN,
    /// From the call on every write takes a part of its bytes alone, as a nearly full one may.
    SHORT
  }

  /// What a process throws that dies here; whatever it calls afterwards has no effect.
  static final class Killed extends Error {
    private static final long serialVersionUID = 1L;

    Killed() {
      super("killed");
    }
  }

  /// Fails from now on at the call with this number, from 0.
  synchronized void arm(Failure how, long call) {
    failure = how;
    failsAt = call;
    calls = 0;
  }

  /// Returns the calls since [#arm].
  synchronized long calls() {
    return calls;
  }

  private interface Call {
    void run() throws IOException;
  }

  private synchronized void call(boolean writes, Call call) throws IOException {
    long number = calls++;
    switch (failure) {
      case NONE, SHORT -> call.run();
      case BROKEN -> {
        if (number >= failsAt) {
          throw new IllegalStateException("broken");
        }
        call.run();
      }
      case KILLED -> {
        if (number >= failsAt) {
          throw new Killed();
        }
        call.run();
      }
      case FULL -> {
        if (number >= failsAt && writes) {
          throw new IOException("No space left on device");
        }
        call.run();
      }
      case TORN -> {
        if (number > failsAt) {
          throw new Killed();
        }
        call.run();
        if (number == failsAt) {
          throw new Killed();
        }
      }
    }
  }

  /// How many of some bytes the next write takes.
  private synchronized int taken(int bytes) {
    return switch (failure) {
      case NONE, BROKEN, KILLED, FULL -> bytes;
      case TORN -> calls == failsAt ? bytes / 2 : bytes;
      case SHORT -> calls >= failsAt ? Math.ceilDiv(bytes, 2) : bytes;
    };
  }

  @Override
  public void createDirectories(Path folder) throws IOException {
    call(true, () -> disk.createDirectories(folder));
  }

  @Override
  public Output open(Path file) throws IOException {
    Output[] opened = new Output[1];
    call(true, () -> opened[0] = disk.open(file));
    Output real = opened[0];
    return new Output() {
      @Override
      public int write(ByteBuffer bytes, long position) throws IOException {
        int[] written = new int[1];
        ByteBuffer part = bytes.slice(bytes.position(), taken(bytes.remaining()));
        call(true, () -> written[0] = real.write(part, position));
        bytes.position(bytes.position() + written[0]);
        return written[0];
      }

      @Override
      public void force() throws IOException {
        call(true, real::force);
      }

      @Override
      public void close() throws IOException {
        real.close();
      }
    };
  }

  @Override
  public void forceDirectory(Path folder) throws IOException {
    call(false, () -> disk.forceDirectory(folder));
  }

  @Override
  public void move(Path from, Path to) throws IOException {
    call(false, () -> disk.move(from, to));
  }

  @Override
  public void delete(Path path) throws IOException {
    call(false, () -> disk.delete(path));
  }
}
