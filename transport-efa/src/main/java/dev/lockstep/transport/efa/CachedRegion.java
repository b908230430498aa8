package dev.lockstep.transport.efa;

import dev.lockstep.memory.Region;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/// A region that the wire may touch: quarantined as long as this is in the cache, registered with
/// every rail if it has to be. Used under the transport's lock.
final class CachedRegion {
  /// Memory is checked through windows of 1 GiB: a byte buffer ends at 2.
  private static final int WINDOW_BITS = 30;

  private final Region region;
  private final @Nullable MemorySegment segment;
  private final long address;
  private final ByteBuffer[] windows;
  private final long[] registrations;
  private final long[] keys;
  private final long[] descriptors;
  boolean registered;

  /// Operations and grants that are out.
  int uses;

  /// How many of these are grants that were revoked.
  int revokedGrants;

  /// Whether its registration is to be closed for these, once nothing else needs it.
  boolean revokes;

  /// When it was last asked for, in look-ups.
  long lastUse;

  /// Takes a region in.
  ///
  /// @param segment its memory, null if the host cannot address it
  CachedRegion(Region region, @Nullable MemorySegment segment, long address, int rails) {
    this.region = region;
    this.segment = segment;
    this.address = address;
    this.registrations = new long[rails];
    this.keys = new long[rails];
    this.descriptors = new long[rails];
    this.windows = windows(segment);
  }

  private static ByteBuffer[] windows(@Nullable MemorySegment segment) {
    if (segment == null) {
      return new ByteBuffer[0];
    }
    long window = 1L << WINDOW_BITS;
    ByteBuffer[] windows = new ByteBuffer[(int) Math.ceilDiv(segment.byteSize(), window)];
    for (int i = 0; i < windows.length; i++) {
      long from = i * window;
      long bytes = Math.min(segment.byteSize() - from, window + Wire.LARGEST_SEGMENT);
      windows[i] = segment.asSlice(from, bytes).asByteBuffer();
    }
    return windows;
  }

  Region region() {
    return region;
  }

  long address() {
    return address;
  }

  boolean isOfHost() {
    return segment != null;
  }

  /// Returns the memory, also after its owner has closed it: it is quarantined.
  MemorySegment segment() {
    if (segment == null) {
      throw new IllegalStateException(
          "host cannot address this memory: region=%s, backing=%s"
              .formatted(region.name(), region.backing()));
    }
    return segment;
  }

  long[] registrations() {
    return registrations;
  }

  long key(int rail) {
    return keys[rail];
  }

  /// Returns what the provider wants to see beside a local address.
  long descriptor(int rail) {
    return descriptors[rail];
  }

  void registration(Rail rail, long registration) {
    int at = rail.number();
    registrations[at] = registration;
    keys[at] = rail.memory().key(registration);
    descriptors[at] = rail.memory().descriptor(registration);
  }

  void unregistered(Rail rail) {
    int at = rail.number();
    registrations[at] = 0;
    keys[at] = 0;
    descriptors[at] = 0;
  }

  /// Returns the CRC32C of a segment, 0 for memory that the host cannot address.
  int checksum(CRC32C crc, long offset, int bytes) {
    if (windows.length == 0 || bytes == 0) {
      return 0;
    }
    ByteBuffer window = windows[(int) (offset >>> WINDOW_BITS)];
    int from = (int) (offset & ((1L << WINDOW_BITS) - 1));
    window.limit(from + bytes).position(from);
    crc.reset();
    crc.update(window);
    return (int) crc.getValue();
  }
}
