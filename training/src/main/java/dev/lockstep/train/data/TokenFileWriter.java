package dev.lockstep.train.data;

import dev.lockstep.cache.Digests;
import dev.lockstep.cache.PrivateMode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Set;
import java.util.zip.CRC32C;
import net.jpountz.lz4.LZ4Compressor;
import net.jpountz.lz4.LZ4Factory;

/// Writes a [TokenFile]: training tokens, then held-out ones, then [#finish].
final class TokenFileWriter implements AutoCloseable {
  private final FileChannel channel;
  private final LZ4Compressor compressor = LZ4Factory.safeInstance().fastCompressor();
  private final byte[] block = new byte[TokenFile.BLOCK_TOKENS];
  private final byte[] compressed = new byte[compressor.maxCompressedLength(block.length)];
  private final ByteArrayOutputStream table = new ByteArrayOutputStream();
  private final MessageDigest tokens = Digests.sha256();
  private int filled;
  private long offset = TokenFile.HEADER_BYTES;

  TokenFileWriter(Path path) throws IOException {
    // The text may be for this user's eyes only.
    channel =
        FileChannel.open(
            path,
            Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE),
            PrivateMode.file());
    channel.position(offset);
  }

  /// Appends the first `count` of some bytes as tokens.
  void write(byte[] bytes, int count) throws IOException {
    tokens.update(bytes, 0, count);
    for (int done = 0; done < count; ) {
      int part = Math.min(count - done, block.length - filled);
      System.arraycopy(bytes, done, block, filled, part);
      done += part;
      filled += part;
      if (filled == block.length) {
        flushBlock();
      }
    }
  }

  private void flushBlock() throws IOException {
    int bytes = compressor.compress(block, 0, filled, compressed, 0, compressed.length);
    CRC32C crc = new CRC32C();
    crc.update(compressed, 0, bytes);
    writeFully(ByteBuffer.wrap(compressed, 0, bytes));
    table.writeBytes(row(offset, bytes, (int) crc.getValue()));
    offset += bytes;
    filled = 0;
  }

  private static byte[] row(long offset, int bytes, int crc) {
    return ByteBuffer.allocate(TokenFile.TABLE_ROW_BYTES)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(offset)
        .putInt(bytes)
        .putInt(crc)
        .array();
  }

  /// Completes the file, forces it to disk and returns the data set's SHA-256: over both counts
  /// (little-endian 64-bit) and the digest of all tokens.
  String finish(long trainTokens, long validationTokens) throws IOException {
    if (filled > 0) {
      flushBlock();
    }
    byte[] rows = table.toByteArray();
    writeFully(ByteBuffer.wrap(rows));
    byte[] digest = dataSetDigest(trainTokens, validationTokens, tokens.digest());
    byte[] header = new byte[TokenFile.HEADER_BYTES];
    MemorySegment segment = MemorySegment.ofArray(header);
    segment.set(TokenFile.LONG, 0, TokenFile.MAGIC);
    segment.set(TokenFile.INT, 8, TokenFile.VERSION);
    segment.set(TokenFile.INT, 12, TokenFile.BLOCK_TOKENS);
    segment.set(TokenFile.LONG, 16, trainTokens);
    segment.set(TokenFile.LONG, 24, validationTokens);
    segment.set(TokenFile.LONG, 32, offset);
    System.arraycopy(digest, 0, header, 40, digest.length);
    segment.set(TokenFile.INT, 72, crc(rows));
    segment.set(TokenFile.INT, 76, crc(Arrays.copyOf(header, 76)));
    channel.position(0);
    writeFully(ByteBuffer.wrap(header));
    channel.force(true);
    return HexFormat.of().formatHex(digest);
  }

  private static byte[] dataSetDigest(long train, long validation, byte[] tokens) {
    MessageDigest digest = Digests.sha256();
    digest.update(
        ByteBuffer.allocate(16)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(train)
            .putLong(validation)
            .array());
    return digest.digest(tokens);
  }

  private static int crc(byte[] bytes) {
    CRC32C crc = new CRC32C();
    crc.update(bytes);
    return (int) crc.getValue();
  }

  private void writeFully(ByteBuffer buffer) throws IOException {
    while (buffer.hasRemaining()) {
      channel.write(buffer);
    }
  }

  @Override
  public void close() throws IOException {
    channel.close();
  }
}
