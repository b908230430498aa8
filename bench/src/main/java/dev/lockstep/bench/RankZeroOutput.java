package dev.lockstep.bench;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/// Takes the launcher's mark of rank 0 off each line: the table is to be read as nccl-tests' is.
/// Single-threaded.
final class RankZeroOutput extends OutputStream {
  private static final byte[] MARK = "[rank0]: ".getBytes(StandardCharsets.US_ASCII);

  private final OutputStream to;
  private int matched; // bytes of the mark at the start of this line; -1 past the start

  RankZeroOutput(OutputStream to) {
    this.to = to;
  }

  @Override
  public void write(int b) throws IOException {
    if (matched >= 0 && b == MARK[matched]) {
      matched++;
      if (matched == MARK.length) {
        matched = -1;
      }
      return;
    }
    if (matched > 0) {
      to.write(MARK, 0, matched);
    }
    to.write(b);
    matched = b == '\n' ? 0 : -1;
  }

  @Override
  public void flush() throws IOException {
    to.flush();
  }
}
