package dev.lockstep.transport.efa;

import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.LongPredicate;

/// A libfabric on whose wire bits flip: of frames and of segments, behind their sender, which has
/// taken their checksums, and before their receiver, which is told that they are there.
final class DamagingLibfabric extends ForwardingLibfabric {
  private final LongPredicate frames;
  private final LongPredicate segments;
  private final SplittableRandom random = new SplittableRandom(5);

  /// What the provider may still read.
  private final List<MemorySegment> damaged = new ArrayList<>();

  private long sentFrames;
  private long sentSegments;

  /// @param frames which are damaged, counted from 0
  /// @param segments which are damaged, counted from 0
  DamagingLibfabric(Libfabric library, LongPredicate frames, LongPredicate segments) {
    super(library);
    this.frames = frames;
    this.segments = segments;
  }

  /// Returns where a copy is in which a bit is another.
  private long flipped(long buffer, long bytes) {
    MemorySegment copy = Arena.ofAuto().allocate(bytes, 64);
    copy.copyFrom(library.memory(buffer, bytes));
    long at = random.nextLong(bytes);
    byte was = copy.get(ValueLayout.JAVA_BYTE, at);
    copy.set(ValueLayout.JAVA_BYTE, at, (byte) (was ^ 1 << random.nextInt(8)));
    damaged.add(copy);
    return copy.address();
  }

  @Override
  public long send(
      EndpointCalls endpoint,
      long buffer,
      long bytes,
      long descriptor,
      long destination,
      long context) {
    long from = frames.test(sentFrames) ? flipped(buffer, bytes) : buffer;
    long status = super.send(endpoint, from, bytes, descriptor, destination, context);
    sentFrames += status == 0 ? 1 : 0;
    return status;
  }

  @Override
  public long inject(EndpointCalls endpoint, long buffer, long bytes, long destination) {
    long from = frames.test(sentFrames) ? flipped(buffer, bytes) : buffer;
    long status = super.inject(endpoint, from, bytes, destination);
    sentFrames += status == 0 ? 1 : 0;
    return status;
  }

  @Override
  public long injectdata(
      EndpointCalls endpoint, long buffer, long bytes, long data, long destination) {
    long from = frames.test(sentFrames) ? flipped(buffer, bytes) : buffer;
    long status = super.injectdata(endpoint, from, bytes, data, destination);
    sentFrames += status == 0 ? 1 : 0;
    return status;
  }

  @Override
  public long writedata(
      EndpointCalls endpoint,
      long buffer,
      long bytes,
      long descriptor,
      long data,
      long destination,
      long address,
      long key,
      long context) {
    long from = segments.test(sentSegments) ? flipped(buffer, bytes) : buffer;
    long status =
        super.writedata(
            endpoint, from, bytes, descriptor, data, destination, address, key, context);
    sentSegments += status == 0 ? 1 : 0;
    return status;
  }
}
