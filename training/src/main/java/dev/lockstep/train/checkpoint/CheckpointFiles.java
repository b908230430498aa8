package dev.lockstep.train.checkpoint;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/// The calls by which a checkpoint changes a disk, one for each thing that can fail: what a test
/// takes the place of. Thread-safe.
public interface CheckpointFiles {
  /// Returns the calls of the disk itself.
  static CheckpointFiles disk() {
    return new Disk();
  }

  /// Makes a folder and those above it, where they are not there.
  ///
  /// @throws IOException if it cannot be made
  void createDirectories(Path folder) throws IOException;

  /// Opens a file for writing at any place; makes it, where it is not there.
  ///
  /// @throws IOException if it cannot be opened
  Output open(Path file) throws IOException;

  /// Forces a folder's entries to disk.
  ///
  /// @throws IOException if the disk fails
  void forceDirectory(Path folder) throws IOException;

  /// Gives a file or folder another name, at once.
  ///
  /// @throws IOException if it cannot be done; nothing has changed then
  void move(Path from, Path to) throws IOException;

  /// Deletes a file or an empty folder.
  ///
  /// @throws IOException if it cannot be deleted
  void delete(Path path) throws IOException;

  /// A file that is written.
  interface Output extends AutoCloseable {
    /// Most bytes of a call.
    long MOST_BYTES = 1 << 24;

    /// Writes some bytes, as many as the system takes.
    ///
    /// @param position where in the file
    /// @return how many were written
    /// @throws IOException if the disk is full or fails
    int write(ByteBuffer bytes, long position) throws IOException;

    /// Forces the file's content to disk.
    ///
    /// @throws IOException if the disk fails
    void force() throws IOException;

    @Override
    void close() throws IOException;

    /// Writes all bytes.
    ///
    /// @param position where in the file
    /// @throws IOException if the disk is full or fails
    default void writeFully(ByteBuffer bytes, long position) throws IOException {
      long at = position;
      while (bytes.hasRemaining()) {
        at += write(bytes, at);
      }
    }

    /// Writes all bytes of memory.
    ///
    /// @param position where in the file
    /// @throws IOException if the disk is full or fails
    default void writeFully(MemorySegment bytes, long position) throws IOException {
      for (long done = 0; done < bytes.byteSize(); ) {
        long part = Math.min(bytes.byteSize() - done, MOST_BYTES);
        writeFully(bytes.asSlice(done, part).asByteBuffer(), position + done);
        done += part;
      }
    }
  }

  /// The disk.
  ///
  /// Note [what a test takes the place of]: nothing else in this package changes files.
  final class Disk implements CheckpointFiles {
    private Disk() {}

    @Override
    public void createDirectories(Path folder) throws IOException {
      Files.createDirectories(folder);
    }

    @Override
    @SuppressWarnings("MustBeClosedChecker") // the output owns the channel
    public Output open(Path file) throws IOException {
      FileChannel channel =
          FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      return new Output() {
        @Override
        public int write(ByteBuffer bytes, long position) throws IOException {
          return channel.write(bytes, position);
        }

        @Override
        public void force() throws IOException {
          channel.force(true);
        }

        @Override
        public void close() throws IOException {
          channel.close();
        }
      };
    }

    @Override
    public void forceDirectory(Path folder) throws IOException {
      try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
        channel.force(true);
      }
    }

    @Override
    public void move(Path from, Path to) throws IOException {
      Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
    }

    @Override
    public void delete(Path path) throws IOException {
      Files.delete(path);
    }
  }
}
