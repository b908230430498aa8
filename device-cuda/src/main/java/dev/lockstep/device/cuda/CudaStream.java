package dev.lockstep.device.cuda;

import dev.lockstep.device.BoundProgram;
import dev.lockstep.device.Event;
import dev.lockstep.device.Stream;
import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.device.cuda.ffi.CudaDriver;
import dev.lockstep.failure.DeviceLostException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// A queue of the driver's. What is queued holds its leases in a ring of **slots**, each with an
/// event of the driver's behind it, until the GPU has passed it; when all slots are taken the host
/// waits for the oldest.
///
/// Slots are numbered by **tickets** that only grow: those below `passed` are over, those below
/// `queued` are in the ring.
///
/// Copies run on queues of their own, one for each direction, beside what the stream computes: a
/// copy waits for the last work in the ring that uses its tensor's buffer, be it a program or
/// another copy, and a program that is queued behind a copy to the device waits for it if it uses
/// that buffer. Whoever waits for the stream waits for its copies too.
final class CudaStream implements Stream {
  private static final Logger LOG = LoggerFactory.getLogger(CudaStream.class);

  /// How much is under way at most.
  static final int SLOTS = 64;

  private final CudaDevice device;
  private final CudaContext context;
  private final long handle;
  private final Staging inward;
  private final Staging outward;
  private final ReentrantLock lock = new ReentrantLock();
  private final long[] events = new long[SLOTS];
  private final @Nullable CudaBoundProgram[] programs = new CudaBoundProgram[SLOTS];
  private final @Nullable Buffer[] buffers = new Buffer[SLOTS];
  private long passed;
  private long queued;

  /// Copies to the device of tickets below this are waited for by what is computed from here on.
  private long awaited;

  private @Nullable IndexOutOfBoundsException fault;
  private volatile boolean closed;

  /// Opens a queue; the device's context is current.
  ///
  /// @param handle the driver's stream; owned from now on
  CudaStream(CudaDevice device, long handle) {
    this.device = device;
    this.context = device.context();
    this.handle = handle;
    this.inward = new Staging(device, handle);
    this.outward = new Staging(device, handle);
    for (int i = 0; i < SLOTS; i++) {
      events[i] = device.newEvent(Cu.EVENT_DISABLE_TIMING);
    }
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
    awaitCopies(bound);
    bound.launch(this);
    boolean isQueued = false;
    try {
      queue(bound, null, handle);
      isQueued = true;
    } finally {
      if (!isQueued) {
        bound.ended();
      }
    }
    if (bound.isTimed()) {
      synchronize();
      bound.takeTimes();
    }
  }

  /// Waits for the oldest slot if all are taken.
  private void makeRoom() {
    device.requireCollectives();
    lock.lock();
    try {
      retire();
      if (queued - passed < SLOTS) {
        throwFault();
        return;
      }
    } finally {
      lock.unlock();
    }
    long oldest = events[(int) ((queued - SLOTS) % SLOTS)];
    context.check(context.driver().eventSynchronize(oldest), "cuEventSynchronize", "");
    lock.lock();
    try {
      retire();
      throwFault();
    } finally {
      lock.unlock();
    }
  }

  /// Puts what was queued last into the ring.
  ///
  /// @param on the driver's queue that it was given to
  private long queue(@Nullable CudaBoundProgram program, @Nullable Buffer buffer, long on) {
    lock.lock();
    try {
      int slot = (int) (queued % SLOTS);
      context.check(context.driver().eventRecord(events[slot], on), "cuEventRecord", "");
      programs[slot] = program;
      buffers[slot] = buffer;
      return queued++;
    } finally {
      lock.unlock();
    }
  }

  /// Gives back the leases of what is over. The lock is held.
  private void retire() {
    while (passed < queued) {
      int status = context.driver().eventQuery(events[(int) (passed % SLOTS)]);
      if (status == Cu.ERROR_NOT_READY) {
        return;
      }
      context.check(status, "cuEventQuery", "");
      retireOldest();
    }
  }

  private void retireOldest() {
    int slot = (int) (passed % SLOTS);
    passed++;
    CudaBoundProgram program = programs[slot];
    Buffer buffer = buffers[slot];
    programs[slot] = null;
    buffers[slot] = null;
    if (program != null) {
      IndexOutOfBoundsException found = program.owner().takeFault();
      fault = fault == null ? found : fault;
      program.ended();
    }
    if (buffer != null) {
      buffer.release();
    }
  }

  /// Throws what a program that is over found wrong. The lock is held.
  private void throwFault() {
    IndexOutOfBoundsException found = fault;
    if (found != null) {
      fault = null;
      found.fillInStackTrace(); // here is who waits for it
      throw found;
    }
  }

  /// Gives back the leases of what is over: of everything if the device is lost, or is found lost
  /// here, which whoever uses it next hears of.
  void settle() {
    lock.lock();
    try {
      if (closed) {
        return;
      }
      try {
        context.enter();
        retire();
      } catch (DeviceLostException lost) {
        retireAll();
      }
    } finally {
      lock.unlock();
    }
  }

  /// Gives back all leases, of a device that does nothing any more. The lock is held.
  private void retireAll() {
    while (passed < queued) {
      retireOldest();
    }
  }

  /// Throws what ended the device's collectives, if something did.
  void requireCollectives() {
    device.requireCollectives();
  }

  /// Whether the GPU has passed a ticket.
  boolean hasPassed(long ticket) {
    lock.lock();
    try {
      // What a lost device left behind has not been passed, though its slot is free.
      if (!closed && (ticket >= passed || context.isLost())) {
        context.enter();
        retire();
      }
      return ticket < passed;
    } finally {
      lock.unlock();
    }
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
      awaitLastUse(buffer, inward);
      inward.copyIn(pointer, from, buffer.name());
      queue(null, buffer, inward.handle());
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
      awaitLastUse(buffer, outward);
      outward.copyOut(to, pointer, buffer.name());
      isCopied = true;
    } finally {
      if (!isCopied) {
        outward.drain();
      }
      buffer.release();
    }
    device.requireCollectives();
    lock.lock();
    try {
      retire(); // whoever made what was copied may have met a wrong id
      throwFault();
    } finally {
      lock.unlock();
    }
  }

  /// Lets copies wait for the last work that reads or writes a buffer.
  private void awaitLastUse(Buffer buffer, Staging copies) {
    lock.lock();
    try {
      for (long ticket = queued - 1; ticket >= passed; ticket--) {
        int slot = (int) (ticket % SLOTS);
        CudaBoundProgram program = programs[slot];
        if (buffer.equals(buffers[slot]) || (program != null && program.uses(buffer))) {
          copies.after(events[slot]);
          return;
        }
      }
    } finally {
      lock.unlock();
    }
  }

  /// Lets what is computed from here on wait for the copies to the device that it needs. They run
  /// one after the other, so the last of them is enough.
  ///
  /// @param program what comes; null for all copies
  private void awaitCopies(@Nullable CudaBoundProgram program) {
    lock.lock();
    try {
      for (long ticket = queued - 1; ticket >= Math.max(passed, awaited); ticket--) {
        int slot = (int) (ticket % SLOTS);
        Buffer buffer = buffers[slot];
        if (buffer != null && (program == null || program.uses(buffer))) {
          context.check(
              context.driver().streamWaitEvent(handle, events[slot], 0), "cuStreamWaitEvent", "");
          awaited = ticket + 1;
          return;
        }
      }
    } finally {
      lock.unlock();
    }
  }

  @Override
  public Event record() {
    return new CudaEvent(this, mark());
  }

  /// Marks this point of the queue by a ticket.
  long mark() {
    enter();
    makeRoom();
    awaitCopies(null);
    return queue(null, null, handle);
  }

  /// Lets what is queued from now on wait until another stream of the device has passed a ticket.
  void await(CudaStream other, long ticket) {
    long event = other.events[(int) (ticket % SLOTS)]; // a later ticket's is behind this one's
    context.check(enter().streamWaitEvent(handle, event, 0), "cuStreamWaitEvent", "");
    inward.after(event); // the other stream may use what is copied next
    outward.after(event);
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
    lock.lock();
    try {
      retire();
      throwFault();
    } finally {
      lock.unlock();
    }
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
    lock.lock();
    try {
      retireAll();
    } finally {
      lock.unlock();
    }
    try (outward;
        inward) {
      // Both are closed, whichever of them fails.
    } finally {
      for (long event : events) {
        device.destroyEvent(event);
      }
      device.forget(this);
    }
    if (failure != null) {
      throw failure;
    }
  }
}
