package dev.lockstep.transport.aeron;

import dev.lockstep.memory.MappedMemory;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.zip.CRC32C;
import org.agrona.DirectBuffer;

/// The mapped memory behind a term of Aeron's log, as a segment and for checksums. Made once per
/// term and log, so that frames allocate nothing.
final class TermView {
  private final ByteBuffer mapped;
  private final ByteBuffer checked;
  private final MemorySegment segment;

  private TermView(ByteBuffer mapped) {
    this.mapped = mapped;
    this.checked = mapped.duplicate().clear();
    this.segment =
        MappedMemory.plain(MemorySegment.ofBuffer(mapped.duplicate().clear()), Arena.global());
  }

  /// The views of one log: a log has three terms.
  static final class Cache {
    private final TermView[] views = new TermView[3];
    private int next;

    /// Returns the view of the memory that `frame` is a part of.
    @SuppressWarnings("ReferenceEquality") // the same mapping is meant, not equal bytes
    TermView of(DirectBuffer frame) {
      ByteBuffer mapped = frame.byteBuffer();
      for (TermView view : views) {
        if (view != null && view.mapped == mapped) {
          return view;
        }
      }
      if (mapped == null) {
        throw new IllegalStateException("aeron's log is not a mapped buffer");
      }
      TermView view = new TermView(mapped);
      views[next] = view;
      next = (next + 1) % views.length;
      return view;
    }
  }

  MemorySegment segment() {
    return segment;
  }

  /// Returns the CRC32C of a range.
  long checksum(CRC32C crc, long offset, int bytes) {
    checked.limit((int) offset + bytes).position((int) offset);
    crc.reset();
    crc.update(checked);
    return crc.getValue();
  }
}
