package dev.lockstep.transport.efa;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;

/// What goes over the wire beside segments: frames, little-endian, with a header of
/// [#HEADER_BYTES].
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | magic `LKOF` |
/// | 4 | 2 | version, 1 |
/// | 6 | 2 | kind |
/// | 8 | 8 | job |
/// | 16 | 4 | link, as its receiver numbers it |
/// | 20 | 4 | bytes of the body |
/// | 24 | 8 | number: of the frame in its link, of the grant, or of frames consumed |
/// | 32 | 8 | message: position in its link |
/// | 40 | 4 | CRC32C of header (without this field) and body |
/// | 44 | 4 | 0 |
///
/// Segments carry [#immediate] data: who gets it, which grant, which segment, and where the
/// provider has room for it the CRC32C of the segment.
final class Wire {
  static final int HEADER_BYTES = 48;

  /// Longest segment: registered memory is checked in windows that overlap by this.
  static final int LARGEST_SEGMENT = 1 << 20;

  // In the stream of a link, sender to receiver; each has a number.
  static final int FIRST = 1;
  static final int NEXT = 2;
  static final int ANNOUNCE = 3;
  static final int CLOSE = 4;

  // Beside the stream, sender to receiver.
  static final int HELLO = 5;
  static final int DISPUTE = 6;
  static final int GONE_SEEN = 7;

  // Receiver to sender.
  static final int GRANT = 8;
  static final int CREDIT = 9;
  static final int GONE = 10;
  static final int REFUSE = 11;

  // Between ranks.
  static final int PING = 12;
  static final int PONG = 13;
  static final int BYE = 14;
  static final int BYE_SEEN = 15;

  private static final int MAGIC = 0x464F4B4C;
  private static final short VERSION = 1;
  private static final int CRC_AT = 40;

  private static final int SEGMENT_BITS = 14;
  private static final int SLOT_BITS = 4;

  /// Most links that a rank receives on.
  static final int MOST_LINKS = 1 << (32 - SEGMENT_BITS - SLOT_BITS);

  /// Most grants of a link that are out.
  static final int GRANTS = 1 << SLOT_BITS;

  /// Most segments of a grant.
  static final int MOST_SEGMENTS = 1 << SEGMENT_BITS;

  static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private Wire() {}

  /// Writes a header, all but its checksum.
  static void header(
      MemorySegment to,
      long at,
      int kind,
      long job,
      int link,
      int bytes,
      long number,
      long message) {
    to.set(INT, at, MAGIC);
    to.set(SHORT, at + 4, VERSION);
    to.set(SHORT, at + 6, (short) kind);
    to.set(LONG, at + 8, job);
    to.set(INT, at + 16, link);
    to.set(INT, at + 20, bytes);
    to.set(LONG, at + 24, number);
    to.set(LONG, at + 32, message);
    to.set(INT, at + CRC_AT + 4, 0);
  }

  /// Puts the checksum into a frame that is complete otherwise.
  static void seal(MemorySegment frame, long at, CRC32C crc, ByteBuffer bytes) {
    frame.set(INT, at + CRC_AT, checksum(frame, at, crc, bytes));
  }

  /// Returns whether what arrived is whole and as it was sent, by whomever.
  static boolean isWhole(MemorySegment frame, long at, long arrived, CRC32C crc, ByteBuffer bytes) {
    return arrived >= HEADER_BYTES
        && bytes(frame, at) >= 0
        && bytes(frame, at) == arrived - HEADER_BYTES
        && frame.get(INT, at + CRC_AT) == checksum(frame, at, crc, bytes);
  }

  /// Returns whether what arrived whole is a frame of a job.
  static boolean isOf(MemorySegment frame, long at, long job) {
    return frame.get(INT, at) == MAGIC
        && frame.get(SHORT, at + 4) == VERSION
        && frame.get(LONG, at + 8) == job;
  }

  private static int checksum(MemorySegment frame, long at, CRC32C crc, ByteBuffer bytes) {
    int from = (int) at;
    crc.reset();
    bytes.limit(from + CRC_AT).position(from);
    crc.update(bytes);
    bytes.limit(from + HEADER_BYTES + bytes(frame, at)).position(from + HEADER_BYTES);
    crc.update(bytes);
    return (int) crc.getValue();
  }

  static int kind(MemorySegment frame, long at) {
    return frame.get(SHORT, at + 6);
  }

  static int link(MemorySegment frame, long at) {
    return frame.get(INT, at + 16);
  }

  static int bytes(MemorySegment frame, long at) {
    return frame.get(INT, at + 20);
  }

  static long number(MemorySegment frame, long at) {
    return frame.get(LONG, at + 24);
  }

  static long message(MemorySegment frame, long at) {
    return frame.get(LONG, at + 32);
  }

  /// Returns the immediate data of a segment.
  static long immediate(int link, int slot, int segment, int checksum) {
    int who = link << (SLOT_BITS + SEGMENT_BITS) | slot << SEGMENT_BITS | segment;
    return (long) checksum << 32 | Integer.toUnsignedLong(who);
  }

  static int linkOf(long immediate) {
    return (int) immediate >>> (SLOT_BITS + SEGMENT_BITS);
  }

  static int slotOf(long immediate) {
    return (int) immediate >>> SEGMENT_BITS & (GRANTS - 1);
  }

  static int segmentOf(long immediate) {
    return (int) immediate & (MOST_SEGMENTS - 1);
  }

  static int checksumOf(long immediate) {
    return (int) (immediate >>> 32);
  }
}
