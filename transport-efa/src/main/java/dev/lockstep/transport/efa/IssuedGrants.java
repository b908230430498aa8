package dev.lockstep.transport.efa;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/// The grants of a link as its receiver has them: issued in the order of messages and bytes, said
/// to the sender, counted full segment by segment in any order, and finished in the order of issue.
///
/// The memory of a grant that was said is the sender's until all segments are here, until the
/// sender has said that it writes no more, or until all are revoked.
final class IssuedGrants {
  private static final int MASK = Wire.GRANTS - 1;

  private final Engine engine;
  private final int segmentBytes;
  private final long[] messages = new long[Wire.GRANTS];
  private final long[] offsets = new long[Wire.GRANTS];
  private final long[] lengths = new long[Wire.GRANTS];
  private final int[] missing = new int[Wire.GRANTS];
  private final int[] stagingSlots = new int[Wire.GRANTS];
  private final @Nullable CachedRegion[] regions = new CachedRegion[Wire.GRANTS];
  private @Nullable Staging staging;

  /// Next message to ask for, and how many of its bytes are asked for.
  private long message;

  private long askedBytes;

  private long first;
  private long unsaid;
  private long saidSegments;
  private long next;
  private boolean revoked;

  IssuedGrants(Engine engine) {
    this.engine = engine;
    this.segmentBytes = engine.options().segmentBytes();
    this.staging = engine.cache().isLimited() ? new Staging(engine) : null;
  }

  /// Asks for what is posted, as far as there is room: in staging memory, and in the completion
  /// queue for what comes.
  ///
  /// @return whether there is anything to say
  boolean issue(FabricLink link, long eagerBytes) {
    message = Math.max(message, link.head);
    while (message < link.tail && next - first < Wire.GRANTS) {
      Transfer transfer = link.transfer(message);
      if (transfer.bytes() > eagerBytes && !issue(transfer)) {
        break;
      }
      if (transfer.bytes() <= eagerBytes || askedBytes == transfer.bytes()) {
        message++;
        askedBytes = 0;
      }
    }
    return unsaid < next;
  }

  private boolean issue(Transfer transfer) {
    Registration target = transfer.sink().target();
    long remaining = transfer.bytes() - askedBytes;
    if (transfer.sink() instanceof Sink.Copy) {
      CachedRegion region = engine.cache().of(target.region());
      if (engine.cache().register(region)) {
        long wanted = Math.min(Math.ceilDiv(remaining, segmentBytes), Wire.MOST_SEGMENTS);
        long segments = engine.room().take((int) wanted, next == first);
        if (segments == 0) {
          return false;
        }
        long bytes = Math.min(remaining, segments * segmentBytes);
        add(region, target.offset() + askedBytes, bytes, -1);
        return true;
      }
    }
    Staging room = staging();
    int slot = room.claim();
    if (slot < 0) {
      return false;
    }
    if (engine.room().take(1, next == first) == 0) {
      room.release(slot);
      return false;
    }
    add(room.region(), room.offset(slot), Math.min(remaining, segmentBytes), slot);
    return true;
  }

  private Staging staging() {
    if (staging == null) {
      staging = new Staging(engine);
    }
    return staging;
  }

  private void add(CachedRegion region, long offset, long bytes, int stagingSlot) {
    int slot = (int) next & MASK;
    messages[slot] = message;
    offsets[slot] = offset;
    lengths[slot] = bytes;
    missing[slot] = (int) Math.ceilDiv(bytes, segmentBytes);
    stagingSlots[slot] = stagingSlot;
    regions[slot] = region;
    region.uses++;
    askedBytes += bytes;
    next++;
  }

  boolean hasUnsaid() {
    return unsaid < next;
  }

  long firstUnsaid() {
    return unsaid;
  }

  void said() {
    saidSegments += Math.ceilDiv(lengths[(int) unsaid & MASK], segmentBytes);
    unsaid++;
  }

  /// Returns how many segments the sender has had leave to write.
  long saidSegments() {
    return saidSegments;
  }

  /// Returns whether the sender may write into memory of this rank.
  boolean hasSaid() {
    return first < unsaid;
  }

  long message(long grant) {
    return messages[(int) grant & MASK];
  }

  /// Writes the body of a grant.
  void write(long grant, MemorySegment to, long body, Envelope envelope) {
    int slot = (int) grant & MASK;
    CachedRegion region = region(slot);
    int rails = engine.rails().size();
    Grants.write(to, body, segmentBytes, rails, lengths[slot], envelope);
    for (int rail = 0; rail < rails; rail++) {
      long address = engine.cache().remoteAddress(region, offsets[slot]);
      Grants.writeRail(to, body, rail, address, region.key(rail));
    }
  }

  private CachedRegion region(int slot) {
    CachedRegion region = regions[slot];
    if (region == null) {
      throw new AssertionError("grant is not out: slot=" + slot);
    }
    return region;
  }

  /// Counts a segment.
  ///
  /// @return false if it is not as it was sent
  boolean arrived(long immediate) {
    int slot = Wire.slotOf(immediate);
    CachedRegion region = regions[slot];
    long from = (long) Wire.segmentOf(immediate) * segmentBytes;
    if (region == null || missing[slot] == 0 || from >= lengths[slot] || revoked) {
      return true; // of a grant that was dropped or revoked
    }
    int length = (int) Math.min(segmentBytes, lengths[slot] - from);
    int checksum = Wire.checksumOf(immediate);
    boolean isSeen = checksum != 0 && region.isOfHost();
    if (isSeen && checksum != region.checksum(engine.crc(), offsets[slot] + from, length)) {
      return false;
    }
    missing[slot]--;
    engine.room().release(1);
    return true;
  }

  /// Returns whether all of the first grant is here.
  boolean isFirstComplete() {
    return first < unsaid && missing[(int) first & MASK] == 0;
  }

  int firstSlot() {
    return (int) first & MASK;
  }

  boolean isStaged(int slot) {
    return stagingSlots[slot] >= 0;
  }

  /// Returns the memory of a grant, from [#offset] on.
  MemorySegment memory(int slot) {
    return region(slot).segment();
  }

  long offset(int slot) {
    return offsets[slot];
  }

  long bytes(int slot) {
    return lengths[slot];
  }

  /// Ends the first grant; its memory is this rank's again.
  void finishFirst() {
    release((int) first & MASK);
    first++;
  }

  private void release(int slot) {
    CachedRegion region = region(slot);
    region.uses--;
    if (isRevoked(slot)) {
      region.revokedGrants--;
    } else {
      engine.room().release(missing[slot]);
    }
    regions[slot] = null;
    if (staging != null && stagingSlots[slot] >= 0) {
      staging.release(stagingSlots[slot]);
    }
  }

  /// Takes back what the sender was not told.
  void dropUnsaid() {
    while (next > unsaid) {
      next--;
      release((int) next & MASK);
    }
  }

  /// Takes everything back: the sender writes no more.
  void drop() {
    dropUnsaid();
    while (first < unsaid) {
      finishFirst();
    }
  }

  /// Has the wire refuse what the sender still writes into tensors. Their memory stays quarantined
  /// all the same: what was under way may still come.
  void revoke() {
    dropUnsaid();
    revoked = true;
    for (long grant = first; grant < unsaid; grant++) {
      int slot = (int) grant & MASK;
      if (isRevoked(slot)) {
        region(slot).revokedGrants++;
        engine.room().release(missing[slot]); // the wire refuses them
        engine.cache().revoke(region(slot));
      }
    }
  }

  boolean isRevoked() {
    return revoked;
  }

  /// Staging memory is the link's own: whatever comes there disturbs nobody.
  private boolean isRevoked(int slot) {
    return revoked && stagingSlots[slot] < 0;
  }

  /// Frees the staging memory; everything was dropped.
  void free() {
    if (staging != null) {
      staging.close();
      staging = null;
    }
  }
}
