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
/// | 0 | 4 | CRC32C of all that follows |
/// | 4 | 4 | link, as its receiver numbers it (see [LinkTable]) |
/// | 8 | 8 | job |
/// | 16 | 6 | number: of the frame in its link, of the grant, of frames consumed, of segments written, or of a question |
/// | 22 | 2 | bytes of the body |
/// | 24 | 6 | message: position in its link |
/// | 30 | 1 | kind |
/// | 31 | 1 | version, 5 |
///
/// Header, envelope and a payload of 64 bytes are 192, which `shm` has in its queue of commands
/// itself: what is longer takes another buffer, and half as long again.
///
/// A bare frame is a `FIRST` or `NEXT` of which only the payload goes, beside it [#bare] data: who
/// gets it, its number and message, and the CRC32C of the whole frame. Its receiver writes header
/// and envelope itself, as it expects them, and the CRC32C shows whether its sender meant the same.
///
/// `GONE` and `REFUSE` end in who says so, rank and receiving end, and their number is that of a
/// question: a sender that has forgotten the link can answer (`GONE_SEEN`). A `GONE` without a body
/// turns away a sender that comes too late.
///
/// Segments carry [#immediate] data: who gets it, which grant, which segment, and where the
/// provider has room for it the CRC32C of the segment.
final class Wire {
  static final int HEADER_BYTES = 32;

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

  // About a link that stands still (Note [what is lost]).
  static final int ASK = 16;
  static final int SENT = 17;
  static final int TAKEN = 18;

  // About a bare frame that is not what its receiver expects: what was it?
  static final int DOUBT = 19;
  static final int MEANT = 20;

  /// Segments that were written, where that is not known any more.
  static final long UNKNOWN = (1L << 48) - 1;

  private static final long VERSION = 5;
  private static final int CRC_BYTES = 4;

  /// Numbers have 48 bits: at a million frames a second, nine years.
  private static final int NUMBER_BITS = 48;

  private static final long NUMBERS = (1L << NUMBER_BITS) - 1;

  // What bare frames carry of the numbers of their link, message and frame: the receiver is never
  // as far behind as these can say.
  private static final int GENERATION_BITS = 5;
  private static final int MESSAGE_BITS = 7;
  private static final int FRAME_BITS = 6;

  private static final int SEGMENT_BITS = 14;
  private static final int SLOT_BITS = 4;

  /// What segments carry of a link's number.
  static final int LINK_BITS = 32 - SEGMENT_BITS - SLOT_BITS;

  /// Most links that a rank receives on at a time, and that it sends on.
  static final int MOST_LINKS = 1 << LINK_BITS;

  /// Most grants of a link that are out.
  static final int GRANTS = 1 << SLOT_BITS;

  /// Most segments of a grant.
  static final int MOST_SEGMENTS = 1 << SEGMENT_BITS;

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
    to.set(INT, at + 4, link);
    to.set(LONG, at + 8, job);
    to.set(LONG, at + 16, (number & NUMBERS) | ((long) bytes << NUMBER_BITS));
    long what = (VERSION << 8) | kind;
    to.set(LONG, at + 24, (message & NUMBERS) | (what << NUMBER_BITS));
  }

  /// Puts the checksum into a frame that is complete otherwise.
  static void seal(MemorySegment frame, long at, CRC32C crc, ByteBuffer bytes) {
    frame.set(INT, at, checksum(at, HEADER_BYTES + bytes(frame, at), crc, bytes));
  }

  /// Returns whether what arrived is whole and as it was sent, by whomever.
  static boolean isWhole(MemorySegment frame, long at, long arrived, CRC32C crc, ByteBuffer bytes) {
    return arrived >= HEADER_BYTES
        && bytes(frame, at) == arrived - HEADER_BYTES
        && frame.get(INT, at) == checksum(at, (int) arrived, crc, bytes);
  }

  /// Returns whether what arrived whole is a frame of a job.
  static boolean isOf(MemorySegment frame, long at, long job) {
    return frame.get(LONG, at + 8) == job && frame.get(LONG, at + 24) >>> 56 == VERSION;
  }

  private static int checksum(long at, int frameBytes, CRC32C crc, ByteBuffer bytes) {
    int from = (int) at;
    crc.reset();
    bytes.limit(from + frameBytes).position(from + CRC_BYTES);
    crc.update(bytes);
    return (int) crc.getValue();
  }

  static int kind(MemorySegment frame, long at) {
    return (int) (frame.get(LONG, at + 24) >>> NUMBER_BITS) & 0xff;
  }

  static int link(MemorySegment frame, long at) {
    return frame.get(INT, at + 4);
  }

  static int bytes(MemorySegment frame, long at) {
    return (int) (frame.get(LONG, at + 16) >>> NUMBER_BITS);
  }

  static long number(MemorySegment frame, long at) {
    return frame.get(LONG, at + 16) & NUMBERS;
  }

  static long message(MemorySegment frame, long at) {
    return frame.get(LONG, at + 24) & NUMBERS;
  }

  /// Returns the immediate data of a bare frame.
  ///
  /// @param link number of the receiving end
  static long bare(int link, long number, long message, int checksum) {
    int who =
        link << (SLOT_BITS + SEGMENT_BITS)
            | low(link >>> LINK_BITS, GENERATION_BITS) << (MESSAGE_BITS + FRAME_BITS)
            | low(message, MESSAGE_BITS) << FRAME_BITS
            | low(number, FRAME_BITS);
    return (long) checksum << 32 | Integer.toUnsignedLong(who);
  }

  private static int low(long number, int bits) {
    return (int) number & ((1 << bits) - 1);
  }

  /// Returns whether a bare frame is for this receiving end and not for one before at its place.
  static boolean isFor(int link, long bare) {
    int generation = (int) bare >>> (MESSAGE_BITS + FRAME_BITS);
    return placeOf(bare) == low(link, LINK_BITS)
        && low(generation, GENERATION_BITS) == low(link >>> LINK_BITS, GENERATION_BITS);
  }

  /// Returns the number of a bare frame.
  ///
  /// @param next number of a frame that is not after it
  static long numberOf(long bare, long next) {
    return next + low(bare - next, FRAME_BITS);
  }

  /// Returns whether a bare frame is of this message or of one far from it.
  static boolean isOfMessage(long bare, long message) {
    return low(bare >>> FRAME_BITS, MESSAGE_BITS) == low(message, MESSAGE_BITS);
  }

  /// Returns the immediate data of a segment.
  ///
  /// @param link number of the receiving end, of which it takes the place
  static long immediate(int link, int slot, int segment, int checksum) {
    int who = link << (SLOT_BITS + SEGMENT_BITS) | slot << SEGMENT_BITS | segment;
    return (long) checksum << 32 | Integer.toUnsignedLong(who);
  }

  /// Returns at what place the receiving end is.
  static int placeOf(long immediate) {
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
