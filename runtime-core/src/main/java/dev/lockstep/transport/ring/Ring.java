package dev.lockstep.transport.ring;

import dev.lockstep.transport.Envelope;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.util.zip.CRC32C;

/// One end's view of a ring that carries the frames of one sender to one receiver.
///
/// The area begins with a header in which each word that one side writes and the other reads has
/// cache lines of its own; the data follow. Positions count bytes since the start and never wrap;
/// frames start at multiples of 64 and never wrap either. A frame begins with a **commit word**: 0
/// until the frame is complete, then its kind. The receiver looks at that word alone, so a short
/// message takes two cache lines from the sender to the receiver and nothing else.
///
/// | frame offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | commit word: [#FIRST], [#NEXT] or [#PAD] |
/// | 4 | 4 | payload bytes in this frame |
/// | 8 | 4 | CRC32C of the payload, then of the envelope if there is one |
/// | 12 | 4 | 0 |
/// | 16 | 96 | envelope, in a message's first frame |
/// | 16 or 112 | | payload |
///
/// Fences: the sender clears the next commit word, writes the frame, and sets its commit word with
/// release; the receiver reads it with acquire, consumes, and sets its position with release; the
/// sender reads that position with acquire before it writes over what was consumed.
final class Ring {
  /// Commit word of a message's first frame, which carries the envelope.
  static final int FIRST = 0x4C4B_0001;

  /// Commit word of a further frame of a message.
  static final int NEXT = 0x4C4B_0002;

  /// Commit word of the unused rest before the end.
  static final int PAD = 0x4C4B_0003;

  /// Frames are multiples of this.
  static final int LINE = 64;

  /// Bytes before the payload of a further frame; a multiple of 16, so that no element is cut.
  static final int NEXT_OVERHEAD = 16;

  /// Bytes before the payload of a first frame.
  static final int FIRST_OVERHEAD = NEXT_OVERHEAD + Envelope.BYTES;

  /// State of an end that works.
  static final int OPEN = 0;

  /// State of an end that is closed.
  static final int CLOSED = 1;

  /// State of a receiver that got a message it did not wait for.
  static final int MISMATCHED = 2;

  /// State of a receiver that got garbage.
  static final int CORRUPT = 3;

  private static final long MAGIC = 0x3130_474E_4952_4B4CL; // "LKRING01"
  private static final long MAGIC_AT = 0;
  private static final long CAPACITY_AT = 8;
  private static final long CONSUMED_AT = 128;
  private static final long RECEIVER_STATE_AT = 256;
  private static final long SENDER_STATE_AT = 384;
  private static final long EXPECTED_AT = 512;
  private static final long ARRIVED_AT = 640;
  private static final long DATA_AT = 4096;

  private static final VarHandle INT = ValueLayout.JAVA_INT.varHandle();
  private static final VarHandle LONG = ValueLayout.JAVA_LONG.varHandle();

  private final MemorySegment segment;
  private final ByteBuffer bytes; // the same memory, for checksums
  private final CRC32C crc = new CRC32C();
  private final long capacity;

  private Ring(MemorySegment segment, long capacity) {
    this.segment = segment;
    this.bytes = segment.asByteBuffer();
    this.capacity = capacity;
  }

  /// Returns the size of an area for a ring of `capacity` bytes, a power of two.
  static long areaBytes(long capacity) {
    return DATA_AT + capacity;
  }

  /// Lays a ring out in zeroed memory.
  static void lay(MemorySegment segment) {
    segment.set(ValueLayout.JAVA_LONG, CAPACITY_AT, segment.byteSize() - DATA_AT);
    LONG.setRelease(segment, MAGIC_AT, MAGIC);
  }

  /// Returns a view of a ring, for one of its ends.
  ///
  /// @throws IllegalArgumentException if there is none
  static Ring open(MemorySegment segment) {
    long capacity = segment.byteSize() - DATA_AT;
    if (capacity <= 0
        || Long.bitCount(capacity) != 1
        || (long) LONG.getAcquire(segment, MAGIC_AT) != MAGIC
        || segment.get(ValueLayout.JAVA_LONG, CAPACITY_AT) != capacity) {
      throw new IllegalArgumentException("memory holds no ring: bytes=" + segment.byteSize());
    }
    return new Ring(segment, capacity);
  }

  long capacity() {
    return capacity;
  }

  MemorySegment segment() {
    return segment;
  }

  /// Returns where in [#segment] the byte at `position` lies.
  long offset(long position) {
    return DATA_AT + (position & (capacity - 1));
  }

  /// Returns the bytes from `position` to the end of the memory.
  long untilEnd(long position) {
    return capacity - (position & (capacity - 1));
  }

  /// Returns the commit word at `position`; what it commits is seen after it.
  int committed(long position) {
    return (int) INT.getAcquire(segment, offset(position));
  }

  /// Hands the frame at `position` over; `end` is where the next one will start.
  void commit(long position, long end, int kind) {
    segment.set(ValueLayout.JAVA_INT, offset(end), 0);
    INT.setRelease(segment, offset(position), kind);
  }

  void frame(long offset, int length, int checksum) {
    segment.set(ValueLayout.JAVA_INT, offset + 4, length);
    segment.set(ValueLayout.JAVA_INT, offset + 8, checksum);
    segment.set(ValueLayout.JAVA_INT, offset + 12, 0);
  }

  int length(long offset) {
    return segment.get(ValueLayout.JAVA_INT, offset + 4);
  }

  int checksum(long offset) {
    return segment.get(ValueLayout.JAVA_INT, offset + 8);
  }

  /// Starts a checksum over `length` bytes of the area.
  int crc(long offset, int length) {
    crc.reset();
    return crcAppend(offset, length);
  }

  /// Continues the checksum.
  int crcAppend(long offset, int length) {
    if (length > 0) {
      bytes.limit((int) offset + length).position((int) offset);
      crc.update(bytes);
    }
    return (int) crc.getValue();
  }

  /// Returns how far the receiver has come.
  long consumed() {
    return (long) LONG.getAcquire(segment, CONSUMED_AT);
  }

  void consumed(long position) {
    LONG.setRelease(segment, CONSUMED_AT, position);
  }

  int receiverState() {
    return (int) INT.getAcquire(segment, RECEIVER_STATE_AT);
  }

  void receiverState(int state) {
    INT.setRelease(segment, RECEIVER_STATE_AT, state);
  }

  int senderState() {
    return (int) INT.getAcquire(segment, SENDER_STATE_AT);
  }

  void senderState(int state) {
    INT.setRelease(segment, SENDER_STATE_AT, state);
  }

  /// Tells the sender which message was expected and which one arrived.
  void mismatched(Envelope expected, Envelope arrived) {
    expected.write(segment, EXPECTED_AT);
    arrived.write(segment, ARRIVED_AT);
    receiverState(MISMATCHED);
  }

  /// Returns the envelope that the receiver waited for; to be asked in state [#MISMATCHED].
  Envelope expected() {
    return read(EXPECTED_AT);
  }

  /// Returns the envelope that the receiver got; to be asked in state [#MISMATCHED].
  Envelope arrived() {
    return read(ARRIVED_AT);
  }

  private Envelope read(long offset) {
    var envelope = new Envelope();
    envelope.read(segment, offset);
    return envelope;
  }

  static long aligned(long bytes) {
    return (bytes + LINE - 1) & -LINE;
  }
}
