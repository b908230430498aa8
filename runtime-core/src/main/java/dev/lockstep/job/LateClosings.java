package dev.lockstep.job;

import dev.lockstep.memory.Scope;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/// What a rank could not close together with others, which are late or know nothing yet of why this
/// rank leaves. It is closed when they have come, at the latest when this rank leaves the job:
/// where its work failed, after the others were told. Thread-safe.
public final class LateClosings {
  /// Something that ranks close together.
  public interface Part {
    /// Closes it if the others have come, or the job has failed. Where that throws, it is closed
    /// nevertheless.
    ///
    /// @param patience how long the others are waited for
    /// @return whether it is closed
    boolean closeTogether(Duration patience);

    /// Closes it whoever still uses it.
    void closeAlone();
  }

  private static final Logger LOG = LoggerFactory.getLogger(LateClosings.class);

  private final List<Part> parts = new ArrayList<>();
  private boolean closed;

  LateClosings() {}

  /// Takes a part over. Once this rank has left the job nothing closes it any more but this call,
  /// at once and alone: the others are not there to be waited for.
  public void add(Part part) {
    synchronized (parts) {
      if (!closed) {
        parts.add(part);
        return;
      }
    }
    part.closeAlone();
  }

  /// Closes, without waiting, what can be closed by now. What fails at that is logged: the caller
  /// closes something else.
  ///
  /// @return whether nothing is left: no rank is known to be late
  public boolean settle() {
    synchronized (parts) {
      parts.removeIf(LateClosings::isSettled);
      return parts.isEmpty();
    }
  }

  private static boolean isSettled(Part part) {
    try {
      return part.closeTogether(Duration.ZERO);
    } catch (RuntimeException failure) {
      LOG.warn("what was to be closed together with late ranks could not be closed", failure);
      return true;
    }
  }

  /// Closes everything, in the order in which it was taken over, also where closing one part fails,
  /// and from now on what is added.
  ///
  /// @param patience how long the others are waited for in all
  void close(Duration patience) {
    long start = System.nanoTime();
    List<Part> left;
    synchronized (parts) {
      left = List.copyOf(parts);
      parts.clear();
      closed = true;
    }
    try (Scope closing = new Scope()) { // from the last
      left.reversed()
          .forEach(
              part ->
                  closing.own(
                      part, one -> close(one, patience.minusNanos(System.nanoTime() - start))));
    }
  }

  private static void close(Part part, Duration rest) {
    if (!part.closeTogether(rest.isPositive() ? rest : Duration.ZERO)) {
      part.closeAlone();
    }
  }
}
