package dev.lockstep.transport.shm;

import dev.lockstep.failure.TransportException;
import dev.lockstep.interrupt.Uninterrupted;
import dev.lockstep.memory.Backing;
import dev.lockstep.memory.MappedMemory;
import dev.lockstep.memory.Region;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Set;

/// Where shared memory lies, and by what to know that it is still that file: descriptors of a
/// process, and processes of a host, are numbered again and again.
///
/// @param path what a peer opens
/// @param fileOffset where the memory starts in the file
/// @param bytes size of the memory
/// @param identity device and number of the file, as the file system tells them
record FileAddress(String path, long fileOffset, long bytes, String identity) {
  private static final int FIXED_BYTES = 2 * Long.BYTES;

  /// Returns the address of a region.
  ///
  /// @throws IllegalArgumentException if it is not shared
  static FileAddress of(Region region) {
    if (!(region.backing() instanceof Backing.SharedFile(String path, long fileOffset))) {
      throw new IllegalArgumentException(
          "region is not shared memory: region=%s, backing=%s (allocate it with allocateShared)"
              .formatted(region.name(), region.backing()));
    }
    try {
      return new FileAddress(path, fileOffset, region.bytes(), identify(path));
    } catch (IOException failure) {
      throw new TransportException(
          path, "region's file is gone: region=" + region.name() + ", path=" + path, failure);
    }
  }

  private static String identify(String path) throws IOException {
    return String.valueOf(Files.readAttributes(Path.of(path), BasicFileAttributes.class).fileKey());
  }

  byte[] encode() {
    byte[] text = (identity + '\n' + path).getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(FIXED_BYTES + text.length)
        .putLong(fileOffset)
        .putLong(bytes)
        .put(text)
        .array();
  }

  /// Reads what [#encode] wrote from the rest of a buffer.
  ///
  /// @throws TransportException if it is garbage
  static FileAddress decode(int peer, ByteBuffer from) {
    if (from.remaining() > FIXED_BYTES) {
      long fileOffset = from.getLong();
      long bytes = from.getLong();
      String text = StandardCharsets.UTF_8.decode(from).toString();
      int end = text.indexOf('\n');
      if (fileOffset >= 0 && bytes >= 0 && end >= 0) {
        String path = text.substring(end + 1);
        return new FileAddress(path, fileOffset, bytes, text.substring(0, end));
      }
    }
    throw new TransportException(
        "rank " + peer, "peer's descriptor is garbage: peer=" + peer, null);
  }

  /// Maps the memory for as long as `arena` lives.
  ///
  /// @throws TransportException if the file is gone, is another one, or may not be opened
  MemorySegment map(int peer, MapMode mode, Arena arena) {
    try {
      return Uninterrupted.call(() -> mapOnce(peer, mode, arena));
    } catch (IOException | InvalidPathException failure) {
      throw new TransportException(
          "rank " + peer,
          "peer's memory cannot be opened: peer=%d, path=%s, cause=%s (ranks of a host need one user and one process namespace)"
              .formatted(peer, path, failure),
          failure);
    }
  }

  private MemorySegment mapOnce(int peer, MapMode mode, Arena arena) throws IOException {
    Set<StandardOpenOption> options =
        mode.equals(MapMode.READ_ONLY)
            ? Set.of(StandardOpenOption.READ)
            : Set.of(StandardOpenOption.READ, StandardOpenOption.WRITE);
    try (FileChannel channel = FileChannel.open(Path.of(path), options)) {
      if (!identify(path).equals(identity) || channel.size() < fileOffset + bytes) {
        throw new TransportException(
            "rank " + peer,
            "peer's memory is gone: peer=%d, path=%s (it was closed, or its process died)"
                .formatted(peer, path),
            null);
      }
      return MappedMemory.plain(channel.map(mode, fileOffset, bytes, arena), arena);
    }
  }
}
