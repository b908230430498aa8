package dev.lockstep.transport.ring;

import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Transfer;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/// One end of a link over a [Ring]: a bounded queue of transfers, moved in order.
///
/// One thread drives a link; another may close its transport meanwhile, so each call holds the link
/// for its length.
abstract class RingLink implements Link {
  private static final int QUEUE = 64; // a power of two

  final Ring ring;
  final RingCounters counters;
  private final SharedArea area;
  private final int peer;
  private final int communicator;
  private final @Nullable Transfer[] queue = new @Nullable Transfer[QUEUE];
  private int first;
  private int waiting; // read outside only to save a look
  private volatile boolean closed;
  private @Nullable RuntimeException failure;

  /// Whether somebody is inside.
  private final AtomicBoolean held = new AtomicBoolean();

  RingLink(Ring ring, SharedArea area, int peer, int communicator, RingCounters counters) {
    this.ring = ring;
    this.area = area;
    this.peer = peer;
    this.communicator = communicator;
    this.counters = counters;
  }

  /// Moves what can be moved of the first transfer.
  ///
  /// @return bytes of the ring gone through, 0 if it must wait
  abstract long move(Transfer transfer);

  /// Returns why the other side cannot go on, or null.
  abstract @Nullable RuntimeException otherSide();

  /// Tells the other side that this one is closed.
  abstract void sayClosed();

  abstract boolean sends();

  @Override
  public final int peer() {
    return peer;
  }

  @Override
  public final int communicator() {
    return communicator;
  }

  @Override
  public final int post(Transfer transfer) {
    if (transfer.isSend() != sends()) {
      throw new IllegalArgumentException(
          "transfer does not fit its end of the link: sends="
              + transfer.isSend()
              + ", linkSends="
              + sends());
    }
    hold();
    try {
      RuntimeException broken = failure;
      if (broken != null) {
        transfer.failed(broken);
        return CLOSED;
      }
      int count = waiting;
      if (count == QUEUE) {
        return BACK_PRESSURED;
      }
      transfer.posted();
      transfer.envelope().length = transfer.bytes();
      queue[(first + count) & (QUEUE - 1)] = transfer;
      waiting = count + 1;
      if (sends() && count == 0) {
        moveAll();
      }
      return failure == null ? ACCEPTED : CLOSED;
    } finally {
      letGo();
    }
  }

  @Override
  public final int poll() {
    if (waiting == 0 || !held.compareAndSet(false, true)) {
      return 0;
    }
    try {
      return moveAll();
    } finally {
      letGo();
    }
  }

  /// Moves transfers until one must wait, or as much has moved as the ring holds: the other links
  /// want their turn.
  private int moveAll() {
    long moved = 0;
    int steps = 0;
    try {
      if (sends()) {
        checkOtherSide(); // a receiver that is gone would leave room and never read
      }
      while (waiting > 0 && moved < ring.capacity()) {
        long step = move(head());
        if (step == 0) {
          break;
        }
        moved += step;
        steps++;
      }
      if (!sends() && waiting > 0) {
        checkOtherSide(); // what was sent before it closed has been read
      }
    } catch (RuntimeException | InternalError broken) {
      // A buffer or the peer's memory is closed, or a shared file was cut short.
      fail(broken("link is broken", broken));
    }
    return steps;
  }

  private void checkOtherSide() {
    RuntimeException gone = otherSide();
    if (gone != null) {
      fail(gone);
    }
  }

  private Transfer head() {
    Transfer transfer = queue[first];
    if (transfer == null) {
      throw new AssertionError("queue of a link is empty");
    }
    return transfer;
  }

  /// Takes the first transfer off the queue: it is complete.
  final void complete(Transfer transfer) {
    queue[first] = null;
    first = (first + 1) & (QUEUE - 1);
    waiting--;
    transfer.done();
  }

  /// Breaks the link: what is queued fails, and whatever comes.
  final void fail(RuntimeException cause) {
    failure = cause;
    while (waiting > 0) {
      Transfer transfer = head();
      queue[first] = null;
      first = (first + 1) & (QUEUE - 1);
      waiting--;
      transfer.failed(cause);
    }
  }

  final boolean isClosed() {
    return closed;
  }

  final TransportException broken(String what, @Nullable Throwable cause) {
    return new TransportException(
        "rank " + peer,
        "%s: %s=%d, communicator=%d%s"
            .formatted(
                what,
                sends() ? "to" : "from",
                peer,
                communicator,
                cause == null ? "" : ", cause=" + cause.getMessage()),
        cause);
  }

  @Override
  public final void abandon() {
    hold();
    try {
      breakOff();
    } finally {
      letGo();
    }
  }

  @Override
  public final void close() {
    hold();
    try {
      closed = true;
      breakOff();
    } finally {
      letGo();
    }
    area.close();
  }

  private void breakOff() {
    if (failure == null) {
      fail(broken("link is closed", null));
    }
    try {
      area.use(this::sayClosed);
    } catch (IllegalStateException gone) {
      // The memory is closed, by an earlier close of this end.
    }
  }

  private void hold() {
    while (!held.compareAndSet(false, true)) {
      Thread.onSpinWait();
    }
  }

  private void letGo() {
    held.setRelease(false);
  }
}
