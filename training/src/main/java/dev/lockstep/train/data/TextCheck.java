package dev.lockstep.train.data;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;

/// Tells text from other files: UTF-8 without zero bytes, of any length. Single-threaded.
final class TextCheck {
  private static final int BUFFER_BYTES = 1 << 16;

  private final CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
  private final byte[] buffer = new byte[BUFFER_BYTES];
  private final ByteBuffer bytes = ByteBuffer.wrap(buffer);
  private final CharBuffer chars = CharBuffer.allocate(BUFFER_BYTES); // no byte makes two of them

  /// Returns why a file is no text, as a clause; empty if it is.
  ///
  /// @param in read to its end, or to the first byte that is no text
  String reason(InputStream in) throws IOException {
    decoder.reset();
    bytes.clear();
    for (boolean ends = false; !ends; ) {
      int start = bytes.position();
      int read = in.readNBytes(buffer, start, bytes.remaining());
      ends = read < bytes.remaining();
      for (int i = start; i < start + read; i++) {
        if (buffer[i] == 0) {
          return "it has a zero byte";
        }
      }
      bytes.position(start + read).flip();
      if (decoder.decode(bytes, chars.clear(), ends).isError()) {
        return "it is not UTF-8";
      }
      bytes.compact();
    }
    return "";
  }
}
