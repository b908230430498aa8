package dev.lockstep.deadline;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/// Seconds that the product promises, on a machine that stands still now and then: what is too slow
/// is so in every try, and a pause of the machine is not.
public final class Promise {
  private static final int TRIES = 3;

  private Promise() {}

  /// What is timed, with all that has to be ready before.
  @FunctionalInterface
  public interface Try {
    /// Does it and returns how long the part took that the promise is about.
    Duration time() throws Exception;
  }

  /// Tries until a promise is kept, and fails where no try keeps it.
  ///
  /// @param most what is promised
  public static void keptWithin(Duration most, Try what) throws Exception {
    List<Duration> times = new ArrayList<>();
    do {
      times.add(what.time());
    } while (times.getLast().compareTo(most) >= 0 && times.size() < TRIES);
    assertThat(times.getLast())
        .as(() -> "tries=%s, %s".formatted(times, MachineLoad.now()))
        .isLessThan(most);
  }
}
