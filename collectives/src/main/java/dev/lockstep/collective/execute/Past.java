package dev.lockstep.collective.execute;

import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReferenceArray;

/// The last collectives that a rank is through with. Whoever moves the communicator writes, any
/// thread reads; writing allocates nothing.
///
/// A rank that was not waited for may have gone on while another waits for what was never sent: by
/// these the two can still be compared.
final class Past {
  /// A rank that has gone on meets one that waits within a few collectives, or does not need it.
  /// One place is for what is being added.
  static final int KEPT = 16;

  private final AtomicReferenceArray<Asked> asked = new AtomicReferenceArray<>(KEPT);

  /// Number of collectives that are over.
  private final AtomicLong over = new AtomicLong();

  /// Adds the next collective, of which sequences leave none out.
  void add(long sequence, Asked what) {
    asked.setRelease((int) (sequence % KEPT), what);
    over.setRelease(sequence + 1);
  }

  /// Returns what is remembered.
  Stands stands() {
    long end = over.getAcquire();
    long first = Math.max(0, end - KEPT + 1);
    Asked[] found = new Asked[(int) (end - first)];
    for (int i = 0; i < found.length; i++) {
      found[i] = asked.getAcquire((int) ((first + i) % KEPT));
    }
    // What was added meanwhile took the places of the oldest.
    long kept = Math.max(first, over.getAcquire() - KEPT + 1);
    Stands stands = Stands.none();
    for (long sequence = kept; sequence < end; sequence++) {
      Asked what = found[(int) (sequence - first)];
      stands = stands.with(sequence, what.fingerprint(), what.at(sequence));
    }
    return stands;
  }
}
