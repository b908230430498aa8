package dev.lockstep.job;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/// What a rank could not close together with others, which are late or know nothing yet of why this
/// rank leaves. It is closed when they have come, at the latest when this rank leaves the job:
/// where its work failed, after the others were told. Thread-safe.
public final class LateClosings {
  /// Something that ranks close together.
  public interface Part {
    /// Closes it if the others have come, or the job has failed.
    ///
    /// @param patience how long the others are waited for
    /// @return whether it is closed
    boolean closeTogether(Duration patience);

    /// Closes it whoever still uses it.
    void closeAlone();
  }

  private final List<Part> parts = new ArrayList<>();

  LateClosings() {}

  /// Takes a part over.
  public void add(Part part) {
    synchronized (parts) {
      parts.add(part);
    }
  }

  /// Closes, without waiting, what can be closed by now.
  ///
  /// @return whether nothing is left: no rank is known to be late
  public boolean settle() {
    synchronized (parts) {
      parts.removeIf(part -> part.closeTogether(Duration.ZERO));
      return parts.isEmpty();
    }
  }

  /// Closes everything, in the order in which it was taken over.
  ///
  /// @param patience how long the others are waited for in all
  void close(Duration patience) {
    long start = System.nanoTime();
    List<Part> left;
    synchronized (parts) {
      left = List.copyOf(parts);
      parts.clear();
    }
    for (Part part : left) {
      Duration rest = patience.minusNanos(System.nanoTime() - start);
      if (!part.closeTogether(rest.isPositive() ? rest : Duration.ZERO)) {
        part.closeAlone();
      }
    }
  }
}
