package dev.lockstep.train.data;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HexFormat;
import java.util.zip.CRC32C;

/// A mapped file of tokens: LZ4 blocks with checksums. Immutable and thread-safe.
///
/// | offset | bytes | field (little-endian) |
/// |---|---|---|
/// | 0 | 8 | magic `LKSTOKEN` |
/// | 8 | 4 | version, 1 |
/// | 12 | 4 | tokens per block (the last one may have fewer), one byte each |
/// | 16 | 8 | training tokens; they come first |
/// | 24 | 8 | held-out tokens |
/// | 32 | 8 | offset of the block table |
/// | 40 | 32 | SHA-256 of both counts and the SHA-256 of all tokens |
/// | 72 | 4 | CRC32C of the block table |
/// | 76 | 4 | CRC32C of bytes 0 … 75 |
/// | 80 | | compressed blocks, then the block table: per block offset (8), compressed bytes (4), CRC32C of the compressed bytes (4) |
final class TokenFile implements AutoCloseable {
  static final int HEADER_BYTES = 80;
  static final int TABLE_ROW_BYTES = 16;
  static final int BLOCK_TOKENS = 32 << 10;
  static final int VERSION = 1;
  static final long MAGIC = 0x4E454B4F54534B4CL; // "LKSTOKEN"
  static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final Arena arena;
  private final MemorySegment file;
  private final long trainTokens;
  private final long validationTokens;
  private final long table;
  private final String sha256;

  private TokenFile(Arena arena, MemorySegment file) {
    this.arena = arena;
    this.file = file;
    this.trainTokens = file.get(LONG, 16);
    this.validationTokens = file.get(LONG, 24);
    this.table = file.get(LONG, 32);
    byte[] digest = new byte[32];
    MemorySegment.copy(file, ValueLayout.JAVA_BYTE, 40, digest, 0, digest.length);
    this.sha256 = HexFormat.of().formatHex(digest);
  }

  /// Maps a token file and checks every byte of it.
  ///
  /// @throws DamagedCacheException if it is not a whole token file of this version
  @SuppressWarnings("MustBeClosed") // the file owns its arena until close()
  static TokenFile open(Path path) throws IOException, DamagedCacheException {
    Arena arena = Arena.ofShared();
    try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
      MemorySegment file = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
      check(file);
      return new TokenFile(arena, file);
    } catch (IOException | DamagedCacheException | RuntimeException e) {
      arena.close();
      throw e;
    }
  }

  private static void check(MemorySegment file) throws DamagedCacheException {
    require(file.byteSize() >= HEADER_BYTES, "shorter than its header");
    require(file.get(LONG, 0) == MAGIC && file.get(INT, 8) == VERSION, "not a token file");
    require(crc(file, 0, 76) == file.get(INT, 76), "header checksum differs");
    long tokens = file.get(LONG, 16) + file.get(LONG, 24);
    long blocks = Math.ceilDiv(tokens, BLOCK_TOKENS);
    long table = file.get(LONG, 32);
    require(
        file.get(INT, 12) == BLOCK_TOKENS
            && file.byteSize() == table + blocks * TABLE_ROW_BYTES
            && crc(file, table, blocks * TABLE_ROW_BYTES) == file.get(INT, 72),
        "block table checksum differs");
    for (long block = 0; block < blocks; block++) {
      long row = table + block * TABLE_ROW_BYTES;
      long offset = file.get(LONG, row);
      int bytes = file.get(INT, row + 8);
      require(
          offset >= HEADER_BYTES && bytes >= 0 && offset + bytes <= table, "block lies outside");
      require(
          crc(file, offset, bytes) == file.get(INT, row + 12),
          "block checksum differs: block=" + block);
    }
  }

  private static void require(boolean holds, String what) throws DamagedCacheException {
    if (!holds) {
      throw new DamagedCacheException(what);
    }
  }

  private static int crc(MemorySegment file, long offset, long bytes) {
    CRC32C crc = new CRC32C();
    for (long done = 0; done < bytes; ) {
      long part = Math.min(bytes - done, 1 << 30);
      crc.update(file.asSlice(offset + done, part).asByteBuffer());
      done += part;
    }
    return (int) crc.getValue();
  }

  long trainTokens() {
    return trainTokens;
  }

  long validationTokens() {
    return validationTokens;
  }

  /// SHA-256 of the data set, 64 hexadecimal digits.
  String sha256() {
    return sha256;
  }

  /// Number of tokens in a block.
  int blockTokens(long block) {
    return (int) Math.min(BLOCK_TOKENS, trainTokens + validationTokens - block * BLOCK_TOKENS);
  }

  /// Copies a compressed block into `to` and returns its length; allocates nothing.
  int compressedBlock(long block, byte[] to) {
    long row = table + block * TABLE_ROW_BYTES;
    int bytes = file.get(INT, row + 8);
    MemorySegment.copy(file, ValueLayout.JAVA_BYTE, file.get(LONG, row), to, 0, bytes);
    return bytes;
  }

  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
