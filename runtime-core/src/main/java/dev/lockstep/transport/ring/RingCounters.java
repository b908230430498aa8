package dev.lockstep.transport.ring;

import dev.lockstep.transport.TransportCounters;
import java.util.concurrent.atomic.AtomicLong;

/// What went over a transport. One thread counts messages, any thread what it opens, and any reads.
final class RingCounters {
  private final AtomicLong messagesSent = new AtomicLong();
  private final AtomicLong bytesSent = new AtomicLong();
  private final AtomicLong messagesReceived = new AtomicLong();
  private final AtomicLong bytesReceived = new AtomicLong();
  private final AtomicLong bytesOpenedInPlace = new AtomicLong();

  void sent(long bytes) {
    add(messagesSent, 1);
    add(bytesSent, bytes);
  }

  void received(long bytes) {
    add(messagesReceived, 1);
    add(bytesReceived, bytes);
  }

  void openedInPlace(long bytes) {
    bytesOpenedInPlace.getAndAdd(bytes); // several communicators may prepare at once
  }

  TransportCounters snapshot() {
    return new TransportCounters(
        messagesSent.get(),
        bytesSent.get(),
        messagesReceived.get(),
        bytesReceived.get(),
        bytesOpenedInPlace.get());
  }

  /// A single writer needs no atomic addition.
  private static void add(AtomicLong counter, long more) {
    counter.setRelease(counter.getPlain() + more);
  }
}
