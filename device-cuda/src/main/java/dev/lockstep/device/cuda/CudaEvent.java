package dev.lockstep.device.cuda;

import dev.lockstep.device.Event;
import dev.lockstep.interrupt.Pause;

/// A point in a stream's queue, by its number. Thread-safe.
final class CudaEvent implements Event {
  // Tens of microseconds of pauses, in which a short copy is over; then a thread is parked for less
  // than the 50 us by which Linux is late with waking it: as short as it can be.
  private static final int SPINS = 1_000;
  private static final long PAUSE_NANOS = 20_000;

  private final CudaStream stream;
  private final long ticket;

  CudaEvent(CudaStream stream, long ticket) {
    this.stream = stream;
    this.ticket = ticket;
  }

  @Override
  public boolean isDone() {
    boolean isDone = stream.hasPassed(ticket);
    if (isDone) {
      stream.requireCollectives();
    }
    return isDone;
  }

  @Override
  public void await() {
    try (Pause pause = new Pause()) {
      for (int spins = 0; !isDone(); spins++) {
        if (spins < SPINS) {
          Thread.onSpinWait();
        } else {
          pause.park(PAUSE_NANOS);
        }
      }
    }
  }
}
