package dev.lockstep.transport.efa;

import dev.lockstep.transport.Envelope;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/// The grants of a link as its sender has them: they may arrive in any order and are used in the
/// order of their numbers.
///
/// The body of a grant: 4 bytes longest segment, 4 bytes rails, 8 bytes length, then for each of
/// [FabricOptions#MOST_RAILS] rails 8 bytes address and 8 bytes key, then the envelope of the
/// message that its receiver waits for.
final class Grants {
  private static final int RAILS_AT = 16;
  private static final int ENVELOPE_AT = RAILS_AT + 16 * FabricOptions.MOST_RAILS;

  /// Bytes of the body.
  static final int BYTES = ENVELOPE_AT + Envelope.BYTES;

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
    to.set(Wire.LONG, body + RAILS_AT + 16L * rail, address);
    to.set(Wire.LONG, body + RAILS_AT + 16L * rail + 8, key);
  }

  /// Takes a grant that arrived.
  ///
  /// @return whether it makes sense
  boolean take(long number, long message, MemorySegment frame, long body) {
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
      addresses[slot * FabricOptions.MOST_RAILS + i] =
          frame.get(Wire.LONG, body + RAILS_AT + 16L * i);
      keys[slot * FabricOptions.MOST_RAILS + i] =
          frame.get(Wire.LONG, body + RAILS_AT + 16L * i + 8);
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
