package dev.lockstep.transport.efa;

import dev.lockstep.transport.Envelope;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/// The grants of a link as its sender has them: they may arrive in any order and are used in the
/// order of their numbers.
///
/// The body of a grant: 4 bytes longest segment, 4 bytes rails, 8 bytes length, the envelope of the
/// message that its receiver waits for, then for each rail 8 bytes address and 8 bytes key. With
/// one or two rails it is short enough for the commands of `shm` (see [Wire]).
final class Grants {
  private static final int ENVELOPE_AT = 16;
  private static final int RAILS_AT = ENVELOPE_AT + Envelope.BYTES;
  private static final int RAIL_BYTES = 16;

  private final int rails;
  private final long[] numbers = new long[Wire.GRANTS];
  private final long[] messages = new long[Wire.GRANTS];
  private final long[] lengths = new long[Wire.GRANTS];
  private final int[] segmentBytes = new int[Wire.GRANTS];
  private final int[] theirRails = new int[Wire.GRANTS];
  private final long[] addresses = new long[Wire.GRANTS * FabricOptions.MOST_RAILS];
  private final long[] keys = new long[Wire.GRANTS * FabricOptions.MOST_RAILS];
  private final Envelope[] envelopes = new Envelope[Wire.GRANTS];
  private long next;

  Grants(int rails) {
    this.rails = rails;
    Arrays.fill(numbers, -1);
    Arrays.setAll(envelopes, _ -> new Envelope());
  }

  /// Returns how long the body is.
  static int bodyBytes(int rails) {
    return RAILS_AT + RAIL_BYTES * rails;
  }

  /// Writes the body of a grant, but for its rails.
  static void write(
      MemorySegment to, long body, int segmentBytes, int rails, long bytes, Envelope envelope) {
    to.set(Wire.INT, body, segmentBytes);
    to.set(Wire.INT, body + 4, rails);
    to.set(Wire.LONG, body + 8, bytes);
    envelope.write(to, body + ENVELOPE_AT);
  }

  /// Writes by what address and key a rail reaches the memory.
  static void writeRail(MemorySegment to, long body, int rail, long address, long key) {
    long at = body + RAILS_AT + (long) RAIL_BYTES * rail;
    to.set(Wire.LONG, at, address);
    to.set(Wire.LONG, at + 8, key);
  }

  /// Takes a grant that arrived.
  ///
  /// @param bodyBytes how long its body is
  /// @return whether it makes sense
  boolean take(long number, long message, MemorySegment frame, long body, int bodyBytes) {
    int slot = (int) number & (Wire.GRANTS - 1);
    int longest = frame.get(Wire.INT, body);
    int railsThere = frame.get(Wire.INT, body + 4);
    long bytes = frame.get(Wire.LONG, body + 8);
    if (number < next
        || number >= next + Wire.GRANTS
        || longest <= 0
        || longest > Wire.LARGEST_SEGMENT
        || railsThere < 1
        || railsThere > FabricOptions.MOST_RAILS
        || bodyBytes != bodyBytes(railsThere)
        || bytes <= 0
        || bytes > (long) longest * Wire.MOST_SEGMENTS
        || !envelopes[slot].read(frame, body + ENVELOPE_AT)) {
      return false;
    }
    numbers[slot] = number;
    messages[slot] = message;
    segmentBytes[slot] = longest;
    theirRails[slot] = railsThere;
    lengths[slot] = bytes;
    for (int i = 0; i < Math.min(rails, railsThere); i++) {
      long at = body + RAILS_AT + (long) RAIL_BYTES * i;
      addresses[slot * FabricOptions.MOST_RAILS + i] = frame.get(Wire.LONG, at);
      keys[slot * FabricOptions.MOST_RAILS + i] = frame.get(Wire.LONG, at + 8);
    }
    return true;
  }

  /// Returns whether the grant whose turn it is has come.
  boolean hasNext() {
    return numbers[slot()] == next;
  }

  /// Returns the number of the grant whose turn it is.
  long number() {
    return next;
  }

  int slot() {
    return (int) next & (Wire.GRANTS - 1);
  }

  /// Ends the grant whose turn it was.
  void finish() {
    next++;
  }

  long message(int slot) {
    return messages[slot];
  }

  long bytes(int slot) {
    return lengths[slot];
  }

  int segmentBytes(int slot) {
    return segmentBytes[slot];
  }

  int rails(int slot) {
    return theirRails[slot];
  }

  long address(int slot, int rail) {
    return addresses[slot * FabricOptions.MOST_RAILS + rail];
  }

  long key(int slot, int rail) {
    return keys[slot * FabricOptions.MOST_RAILS + rail];
  }

  Envelope envelope(int slot) {
    return envelopes[slot];
  }
}
