package dev.lockstep.train.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import net.jpountz.lz4.LZ4Exception;
import net.jpountz.lz4.LZ4Factory;
import net.jpountz.lz4.LZ4FastDecompressor;

/// Reads tokens at any position, decompressing a block at a time into its own memory.
/// Single-threaded; reading allocates nothing.
public final class CorpusReader {
  private final TokenFile file;
  private final LZ4FastDecompressor decompressor = LZ4Factory.safeInstance().fastDecompressor();
  private final byte[] compressed = new byte[TokenFile.BLOCK_TOKENS + TokenFile.BLOCK_TOKENS / 64];
  private final byte[] tokens = new byte[TokenFile.BLOCK_TOKENS];
  private long current = -1;

  CorpusReader(TokenFile file) {
    this.file = file;
  }

  /// Copies `count` tokens from `position` on into `to` as int32.
  ///
  /// @param position first token; training tokens start at 0, held-out ones at [Corpus#trainTokens]
  /// @param to receives `count` int32 values from element `toIndex` on
  public void read(long position, int count, MemorySegment to, long toIndex) {
    if (position < 0 || position + count > file.trainTokens() + file.validationTokens()) {
      throw new IllegalArgumentException(
          "tokens lie outside the data set: position=%d, count=%d, tokens=%d"
              .formatted(position, count, file.trainTokens() + file.validationTokens()));
    }
    for (int done = 0; done < count; ) {
      long block = (position + done) / TokenFile.BLOCK_TOKENS;
      int from = (int) ((position + done) % TokenFile.BLOCK_TOKENS);
      load(block);
      int part = Math.min(count - done, TokenFile.BLOCK_TOKENS - from);
      for (int i = 0; i < part; i++) {
        to.setAtIndex(ValueLayout.JAVA_INT_UNALIGNED, toIndex + done + i, tokens[from + i] & 0xFF);
      }
      done += part;
    }
  }

  private void load(long block) {
    if (block == current) {
      return;
    }
    current = -1;
    try {
      file.compressedBlock(block, compressed);
      decompressor.decompress(compressed, 0, tokens, 0, file.blockTokens(block));
    } catch (LZ4Exception | IndexOutOfBoundsException e) {
      throw new Corpus.ReadException(block, e);
    }
    current = block;
  }
}
