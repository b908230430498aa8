package dev.lockstep.device.cuda;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Event;
import dev.lockstep.device.HostCopy;
import dev.lockstep.device.Stream;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A queue of the driver's. What it was given and the GPU has not passed stands in a [WorkRing].
///
/// Copies run on queues of their own, one for each direction, beside what the stream computes: a
/// copy waits for the last work in the ring that uses its tensor's bytes, be it a program or a copy
/// of the other direction, and a program that is queued behind copies waits for those that use its
/// bytes. Whoever waits for the stream waits for its copies too.
final class CudaStream implements Stream {
  private static final Logger LOG = LoggerFactory.getLogger(CudaStream.class);

  private final CudaDevice device;
  private final CudaContext context;
  private final long handle;
  private final Staging inward;
  private final Staging outward;
  private final WorkRing ring;
  private volatile boolean closed;

  /// Opens a queue; the device's context is current.
  ///
  /// @param handle the driver's stream; owned from the constructor's end on
  CudaStream(CudaDevice device, long handle) {
    this.device = device;
    this.context = device.context();
    this.handle = handle;
    this.inward = new Staging(device, handle);
    this.outward = new Staging(device, handle);
    this.ring = new WorkRing(device, handle);
  }

  long handle() {
    return handle;
  }

  private CudaDriver enter() {
    if (closed) {
      throw new IllegalStateException("stream is closed: device=" + context.name());
    }
    return context.enter();
  }

  @Override
  public void run(BoundProgram program) {
    enter();
    if (!(program instanceof CudaBoundProgram bound) || !bound.owner().belongsTo(device)) {
      throw new IllegalArgumentException(
          "program was compiled by another device: device=" + context.name());
    }
    makeRoom();
    awaitCopies(bound.bytes());
    bound.launch(this);
    boolean isQueued = false;
    try {
      ring.add(bound);
      isQueued = true;
    } finally {
      if (!isQueued) {
        drain();
        bound.ended();
      }
    }
    if (bound.isTimed()) {
      synchronize();
      bound.takeTimes();
    }
  }

  /// Waits for what was computed, whatever becomes of it: before leases of what stands in no slot
  /// go back.
  void drain() {
    if (!context.isLost()) {
      context.driver().streamSynchronize(handle);
    }
  }

  private void makeRoom() {
    device.requireCollectives();
    ring.makeRoom();
  }

  /// Gives back the leases of what is over: of everything if the device is lost, or is found lost
  /// here, which whoever uses it next hears of.
  void settle() {
    ring.settle();
  }

  /// Throws what ended the device's collectives, if something did.
  void requireCollectives() {
    device.requireCollectives();
  }

  /// Whether the GPU has passed a ticket.
  boolean hasPassed(long ticket) {
    return ring.hasPassed(ticket);
  }

  private static void requireBytes(Tensor tensor, MemorySegment host) {
    if (tensor.bytes() != host.byteSize()) {
      throw new IllegalArgumentException(
          "copy between different sizes: tensorBytes=%d, hostBytes=%d"
              .formatted(tensor.bytes(), host.byteSize()));
    }
  }

  @Override
  public void copyIn(Tensor to, MemorySegment from) {
    enter();
    requireBytes(to, from);
    long pointer = device.address(to);
    makeRoom();
    Buffer buffer = to.buffer();
    buffer.acquire();
    boolean isQueued = false;
    try {
      inward.open();
      ring.order(to, inward);
      inward.copyIn(pointer, from, buffer.name());
      ring.add(to, inward);
      isQueued = true;
    } finally {
      if (!isQueued) {
        inward.drain();
        buffer.release();
      }
    }
  }

  @Override
  public void copyOut(MemorySegment to, Tensor from) {
    enter();
    requireBytes(from, to);
    long pointer = device.address(from);
    Buffer buffer = from.buffer();
    buffer.acquire();
    boolean isCopied = false;
    try {
      outward.open();
      ring.order(from, outward);
      outward.copyOut(to, pointer, buffer.name());
      isCopied = true;
    } finally {
      if (!isCopied) {
        outward.drain();
      }
      buffer.release();
    }
    device.requireCollectives();
    ring.retireAndThrow(); // whoever made what was copied may have met a wrong id
  }

  @Override
  public HostCopy prepareCopyIn(Tensor to, MemorySegment from) {
    requireBytes(to, from);
    return device.pins().hold(from)
        ? new PinnedCopy(this, inward, to, from)
        : Stream.super.prepareCopyIn(to, from);
  }

  @Override
  public HostCopy prepareCopyOut(MemorySegment to, Tensor from) {
    requireBytes(from, to);
    return device.pins().hold(to)
        ? new PinnedCopy(this, outward, from, to)
        : Stream.super.prepareCopyOut(to, from);
  }

  /// Queues a copy between a tensor and pinned host memory.
  ///
  /// @param way in which direction
  /// @return its ticket
  long copy(Staging way, Tensor tensor, MemorySegment host) {
    enter();
    long pointer = device.address(tensor);
    makeRoom();
    Buffer buffer = tensor.buffer();
    buffer.acquire();
    boolean isQueued = false;
    try {
      way.open();
      ring.order(tensor, way);
      if (way == inward) {
        way.copyPinnedIn(pointer, host, buffer.name());
      } else {
        way.copyPinnedOut(host, pointer, buffer.name());
      }
      long ticket = ring.add(tensor, way);
      isQueued = true;
      return ticket;
    } finally {
      if (!isQueued) {
        way.drain();
        buffer.release();
      }
    }
  }

  /// Whether a copy is over.
  boolean isOver(long ticket) {
    boolean isOver = ring.isOver(ticket);
    if (isOver) {
      device.requireCollectives();
    }
    return isOver;
  }

  /// Waits until a copy is over.
  void awaitOver(long ticket) {
    enter();
    ring.awaitOver(ticket);
    device.requireCollectives();
    ring.retireAndThrow(); // whoever made what was copied may have met a wrong id
  }

  /// Waits for a copy, whatever becomes of it.
  void settle(long ticket, Staging way) {
    try {
      if (!closed) {
        enter();
        ring.awaitOver(ticket);
      }
    } catch (RuntimeException failed) {
      LOG.debug("a copy did not end well: device={}", context.name(), failed);
      way.drain();
    }
  }

  @Override
  public Event record() {
    return new CudaEvent(this, mark());
  }

  /// Marks this point of the queue by a ticket, behind all copies.
  long mark() {
    return mark(null);
  }

  /// Marks this point of the queue by a ticket, behind the copies of these bytes.
  ///
  /// @param used null for all copies
  long mark(@Nullable BoundBytes used) {
    enter();
    makeRoom();
    awaitCopies(used);
    return ring.add(null);
  }

  /// Lets what is queued from now on wait until another stream of the device has passed a ticket.
  void await(CudaStream other, long ticket) {
    long event = other.ring.event(ticket);
    context.check(enter().streamWaitEvent(handle, event, 0), "cuStreamWaitEvent", "");
    inward.after(event); // the other stream may use what is copied next
    outward.after(event);
  }

  /// Lets what is computed from here on wait for the copies that it needs.
  ///
  /// @param used by what comes; null for all copies
  private void awaitCopies(@Nullable BoundBytes used) {
    ring.order(used, inward);
    ring.order(used, outward);
  }

  /// Whether the stream is of this device.
  boolean belongsTo(CudaDevice other) {
    return device == other;
  }

  @Override
  public void synchronize() {
    finish();
    device.requireCollectives();
  }

  /// Waits for everything, whatever became of the device's collectives.
  void finish() {
    CudaDriver driver = enter();
    awaitCopies(null);
    context.check(driver.streamSynchronize(handle), "cuStreamSynchronize", "");
    ring.retireAndThrow();
  }

  /// Waits for everything, whatever becomes of it, and frees the queue.
  @Override
  public void close() {
    if (closed) {
      return;
    }
    RuntimeException failure = null;
    try {
      finish();
    } catch (IndexOutOfBoundsException wrongId) {
      LOG.warn("a program met a wrong id and nobody waited for it: {}", wrongId.getMessage());
    } catch (RuntimeException lost) {
      failure = lost;
    }
    closed = true;
    ring.close();
    try (outward;
        inward) {
      // Both are closed, whichever of them fails.
    } finally {
      ring.destroy();
      device.forget(this);
    }
    if (failure != null) {
      throw failure;
    }
  }
}
