package dev.lockstep.transport;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/// The header of every message, mutable and reusable; [#BYTES] bytes on the wire, little-endian.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | magic `LKST` |
/// | 4 | 2 | version, 1 |
/// | 6 | 2 | flags, 0; bit 0 will mean that nonce and tag are in use |
/// | 8 | 8 | job |
/// | 16 | 4 | epoch of membership |
/// | 20 | 4 | communicator |
/// | 24 | 8 | sequence: position of the collective in its communicator |
/// | 32 | 8 | schedule: identity of the schedule that both sides follow |
/// | 40 | 4 | step: position of the message in the schedule |
/// | 44 | 4 | CRC32C of the payload, 0 where the transport reads memory in place |
/// | 48 | 8 | length of the payload in bytes |
/// | 56 | 12 | nonce of an authenticated cipher |
/// | 68 | 1 | collective kind |
/// | 69 | 1 | element type |
/// | 70 | 1 | reduce op |
/// | 71 | 1 | root + 1, 0 for none (saturating) |
/// | 72 | 16 | tag of an authenticated cipher |
/// | 88 | 8 | element count of the collective |
///
/// Communicator, sequence, schedule, kind, element type, reduce op, root and count are the
/// **fingerprint**: sides that differ there call different collectives.
public final class Envelope {
  /// Size on the wire.
  public static final int BYTES = 96;

  /// First four bytes, `LKST`.
  public static final int MAGIC = 0x54534B4C;

  /// Version that this code speaks.
  public static final short VERSION = 1;

  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfByte BYTE = ValueLayout.JAVA_BYTE;

  /// Identity of the job.
  public long job;

  /// Epoch of membership.
  public int epoch;

  /// Communicator.
  public int communicator;

  /// Position of the collective in its communicator, from 0.
  public long sequence;

  /// Identity of the schedule.
  public long schedule;

  /// Position of the message in the schedule.
  public int step;

  /// CRC32C of the payload.
  public int crc32c;

  /// Length of the payload in bytes.
  public long length;

  /// Kind of the collective, as the collectives number them.
  public byte kind;

  /// Element type: ordinal of `DType`.
  public byte dtype;

  /// Reduce op, as the collectives number them.
  public byte reduceOp;

  /// Root + 1, 0 for none.
  public byte root;

  /// Element count of the collective.
  public long count;

  /// Makes a header of zeros.
  public Envelope() {}

  /// Writes the header to `to` at `offset`; allocates nothing.
  public void write(MemorySegment to, long offset) {
    to.set(INT, offset, MAGIC);
    to.set(SHORT, offset + 4, VERSION);
    to.set(SHORT, offset + 6, (short) 0);
    to.set(LONG, offset + 8, job);
    to.set(INT, offset + 16, epoch);
    to.set(INT, offset + 20, communicator);
    to.set(LONG, offset + 24, sequence);
    to.set(LONG, offset + 32, schedule);
    to.set(INT, offset + 40, step);
    to.set(INT, offset + 44, crc32c);
    to.set(LONG, offset + 48, length);
    to.set(LONG, offset + 56, 0L);
    to.set(INT, offset + 64, 0);
    to.set(BYTE, offset + 68, kind);
    to.set(BYTE, offset + 69, dtype);
    to.set(BYTE, offset + 70, reduceOp);
    to.set(BYTE, offset + 71, root);
    to.set(LONG, offset + 72, 0L);
    to.set(LONG, offset + 80, 0L);
    to.set(LONG, offset + 88, count);
  }

  /// Reads a header from `from` at `offset`; allocates nothing.
  ///
  /// @return whether magic, version and flags are known; the fields are undefined otherwise
  public boolean read(MemorySegment from, long offset) {
    if (from.get(INT, offset) != MAGIC
        || from.get(SHORT, offset + 4) != VERSION
        || from.get(SHORT, offset + 6) != 0) {
      return false;
    }
    job = from.get(LONG, offset + 8);
    epoch = from.get(INT, offset + 16);
    communicator = from.get(INT, offset + 20);
    sequence = from.get(LONG, offset + 24);
    schedule = from.get(LONG, offset + 32);
    step = from.get(INT, offset + 40);
    crc32c = from.get(INT, offset + 44);
    length = from.get(LONG, offset + 48);
    kind = from.get(BYTE, offset + 68);
    dtype = from.get(BYTE, offset + 69);
    reduceOp = from.get(BYTE, offset + 70);
    root = from.get(BYTE, offset + 71);
    count = from.get(LONG, offset + 88);
    return true;
  }

  /// Copies every field of `other`; allocates nothing.
  public void set(Envelope other) {
    job = other.job;
    epoch = other.epoch;
    communicator = other.communicator;
    sequence = other.sequence;
    schedule = other.schedule;
    step = other.step;
    crc32c = other.crc32c;
    length = other.length;
    kind = other.kind;
    dtype = other.dtype;
    reduceOp = other.reduceOp;
    root = other.root;
    count = other.count;
  }

  /// Returns whether both headers belong to the same message of the same collective: everything but
  /// the CRC is equal.
  public boolean matches(Envelope other) {
    return job == other.job
        && epoch == other.epoch
        && communicator == other.communicator
        && sequence == other.sequence
        && schedule == other.schedule
        && step == other.step
        && length == other.length
        && kind == other.kind
        && dtype == other.dtype
        && reduceOp == other.reduceOp
        && root == other.root
        && count == other.count;
  }
}
