package dev.lockstep.device.cuda;

import dev.lockstep.device.cuda.ffi.Cu;
import dev.lockstep.failure.DeviceException;
import dev.lockstep.failure.DeviceLostException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Scope;
import dev.lockstep.tensor.Tensor;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// What a stream was given and the GPU has not passed: a ring of **slots**, each with an event of
/// the driver's behind it. A slot holds the leases of its work until the GPU has passed it; when
/// all are taken the host waits for the oldest.
///
/// Slots are numbered by **tickets** that only grow: those below `passed` are over, those below
/// `queued` are in the ring.
///
/// Work stands in one of three queues of the driver's: what is computed, and copies of each
/// direction. Each keeps its own order. What uses the same bytes in two of them is ordered by
/// events: work waits for the last of each other queue that uses any of its bytes, which stands
/// behind all earlier ones of that queue.
///
/// The stream's thread adds work; any thread may give back leases.
final class WorkRing {
  private static final Logger LOG = LoggerFactory.getLogger(WorkRing.class);

  /// How much is under way at most.
  static final int SLOTS = 64;

  private final CudaContext context;
  private final CudaDevice device;
  private final long compute;
  private final ReentrantLock lock = new ReentrantLock();
  private final long[] events = new long[SLOTS];
  private final @Nullable CudaBoundProgram[] programs = new CudaBoundProgram[SLOTS];
  private final @Nullable Buffer[] buffers = new Buffer[SLOTS];
  private final long[] starts = new long[SLOTS]; // bytes of the buffer
  private final long[] ends = new long[SLOTS];
  private final @Nullable Staging[] ways = new Staging[SLOTS]; // null for what is computed
  private long passed;
  private long queued;
  private @Nullable IndexOutOfBoundsException fault;
  private volatile boolean closed;

  /// Makes the events; the device's context is current.
  ///
  /// @param compute the driver's handle of the queue of what is computed
  WorkRing(CudaDevice device, long compute) {
    this.device = device;
    this.context = device.context();
    this.compute = compute;
    int made = 0;
    try {
      for (; made < SLOTS; made++) {
        events[made] = device.newEvent(Cu.EVENT_DISABLE_TIMING);
      }
    } catch (RuntimeException | Error failure) {
      for (int i = 0; i < made; i++) {
        long event = events[i];
        Scope.afterFailure(failure, () -> device.destroyEvent(event));
      }
      throw failure;
    }
  }

  private static int slot(long ticket) {
    return (int) (ticket % SLOTS);
  }

  /// Returns the event of a ticket, or of a later one behind it.
  long event(long ticket) {
    return events[slot(ticket)];
  }

  /// Waits for the oldest slot if all are taken, and throws what was found wrong.
  void makeRoom() {
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
    await(event(queued - SLOTS));
    retireAndThrow();
  }

  private void await(long event) {
    context.check(context.driver().eventSynchronize(event), "cuEventSynchronize", "");
  }

  /// Puts a program, or a mark, that the queue of what is computed was given last into the ring.
  long add(@Nullable CudaBoundProgram program) {
    return add(program, null, null);
  }

  /// Puts a copy that its queue was given last into the ring.
  ///
  /// @param tensor of the device
  long add(Tensor tensor, Staging way) {
    return add(null, tensor, way);
  }

  private long add(
      @Nullable CudaBoundProgram program, @Nullable Tensor tensor, @Nullable Staging way) {
    lock.lock();
    try {
      int slot = slot(queued);
      long on = way == null ? compute : way.handle();
      context.check(context.driver().eventRecord(events[slot], on), "cuEventRecord", "");
      programs[slot] = program;
      ways[slot] = way;
      if (tensor != null) {
        buffers[slot] = tensor.buffer();
        starts[slot] = tensor.offset();
        ends[slot] = tensor.offset() + tensor.bytes();
      }
      return queued++;
    } finally {
      lock.unlock();
    }
  }

  /// Gives back the leases of what is over. The lock is held.
  private void retire() {
    while (passed < queued) {
      int status = context.driver().eventQuery(events[slot(passed)]);
      if (status == Cu.ERROR_NOT_READY) {
        return;
      }
      context.check(status, "cuEventQuery", "");
      retireOldest();
    }
  }

  private void retireOldest() {
    int slot = slot(passed);
    passed++;
    CudaBoundProgram program = programs[slot];
    Buffer buffer = buffers[slot];
    programs[slot] = null;
    buffers[slot] = null;
    ways[slot] = null;
    if (program != null) {
      IndexOutOfBoundsException found = program.owner().takeFault();
      fault = fault == null ? found : fault;
      program.ended();
    }
    if (buffer != null) {
      buffer.release();
    }
  }

  /// Takes what a program found wrong that is over before older work of another queue. The lock is
  /// held.
  private void takeFaultBehind() {
    for (long ticket = passed; fault == null && ticket < queued; ticket++) {
      CudaBoundProgram program = programs[slot(ticket)];
      if (program != null && program.owner().hasFault()) {
        int status = context.driver().eventQuery(events[slot(ticket)]);
        if (status == Cu.ERROR_NOT_READY) {
          return; // programs run in their order
        }
        context.check(status, "cuEventQuery", "");
        fault = program.owner().takeFault();
      }
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

  /// Gives back the leases of what is over, and throws what was found wrong, by programs too that
  /// are over before older copies.
  void retireAndThrow() {
    lock.lock();
    try {
      retire();
      takeFaultBehind();
      throwFault();
    } finally {
      lock.unlock();
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
      } catch (DeviceException refused) {
        // What is under way keeps its leases; whoever waits for this stream hears of it.
        LOG.debug("a stream cannot be asked: device={}", context.name(), refused);
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

  /// Whether the GPU has passed a ticket and all before it.
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

  /// Whether a copy is over; what stands before it need not be.
  boolean isOver(long ticket) {
    lock.lock();
    try {
      if (!closed && (ticket >= passed || context.isLost())) {
        int status = context.enter().eventQuery(event(ticket));
        if (status == Cu.ERROR_NOT_READY) {
          return false;
        }
        context.check(status, "cuEventQuery", "");
        retire();
        takeFaultBehind(); // whoever made what was copied may have met a wrong id
      }
      throwFault();
      return true;
    } finally {
      lock.unlock();
    }
  }

  /// Waits until a copy is over; called by the thread that adds work, so that the slot stays.
  void awaitOver(long ticket) {
    lock.lock();
    try {
      if (closed || ticket < passed) {
        return;
      }
    } finally {
      lock.unlock();
    }
    await(event(ticket));
  }

  /// Lets a copy wait for the last work of each other queue that uses its bytes.
  ///
  /// @param tensor of the device
  void order(Tensor tensor, Staging copies) {
    long start = tensor.offset();
    long end = start + tensor.bytes();
    lock.lock();
    try {
      boolean isComputed = false;
      boolean isCopied = false;
      for (long ticket = queued - 1; ticket >= passed; ticket--) {
        int slot = slot(ticket);
        Staging way = ways[slot];
        boolean isBehind = way == null ? isComputed : isCopied;
        if (way != copies && !isBehind && uses(slot, tensor.buffer(), start, end)) {
          copies.after(events[slot]);
          isComputed |= way == null;
          isCopied |= way != null;
        }
      }
    } finally {
      lock.unlock();
    }
  }

  private boolean uses(int slot, Buffer buffer, long start, long end) {
    CudaBoundProgram program = programs[slot];
    return program == null
        ? buffer.equals(buffers[slot]) && starts[slot] < end && start < ends[slot]
        : program.bytes().touch(buffer, start, end);
  }

  /// Lets what is computed from here on wait for the copies of a direction that it needs. They run
  /// one after the other, so the last of them is enough.
  ///
  /// @param used by what comes; null for all copies
  void order(@Nullable BoundBytes used, Staging copies) {
    lock.lock();
    try {
      for (long ticket = queued - 1; ticket >= Math.max(passed, copies.awaited()); ticket--) {
        int slot = slot(ticket);
        Buffer buffer = buffers[slot];
        if (ways[slot] == copies
            && buffer != null
            && (used == null || used.touch(buffer, starts[slot], ends[slot]))) {
          context.check(
              context.driver().streamWaitEvent(compute, events[slot], 0), "cuStreamWaitEvent", "");
          copies.awaitedBelow(ticket + 1);
          return;
        }
      }
    } finally {
      lock.unlock();
    }
  }

  /// Gives back all leases of a stream whose work is over, or lost. Nothing is added any more.
  void close() {
    closed = true;
    lock.lock();
    try {
      retireAll();
    } finally {
      lock.unlock();
    }
  }

  /// Destroys the events.
  void destroy() {
    for (long event : events) {
      device.destroyEvent(event);
    }
  }
}
