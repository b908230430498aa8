package dev.lockstep.job;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/// One part that cannot be closed keeps no other one open.
final class LateClosingsTest {
  private final LateClosings closings = new LateClosings();
  private final List<String> closed = new ArrayList<>();

  /// A part that notes that it is closed.
  ///
  /// @param together whether the others come
  /// @param fails whether closing throws
  private record Noting(String name, boolean together, boolean fails, List<String> closed)
      implements LateClosings.Part {
    @Override
    public boolean closeTogether(Duration patience) {
      if (together) {
        close("together");
      }
      return together;
    }

    @Override
    public void closeAlone() {
      close("alone");
    }

    private void close(String how) {
      closed.add(name + " " + how);
      if (fails) {
        throw new IllegalStateException(name);
      }
    }
  }

  private void add(String name, boolean together, boolean fails) {
    closings.add(new Noting(name, together, fails, closed));
  }

  @Test
  void everythingIsClosedInOrderWhateverFails() {
    add("first", true, true);
    add("second", false, true);
    add("third", true, false);
    add("fourth", false, false);
    assertThatThrownBy(() -> closings.close(Duration.ZERO))
        .hasMessage("first")
        .satisfies(failure -> assertThat(failure.getSuppressed()[0]).hasMessage("second"));
    assertThat(closed)
        .containsExactly("first together", "second alone", "third together", "fourth alone");
    closings.close(Duration.ZERO); // once
    assertThat(closed).hasSize(4);
  }

  @Test
  void whatComesAfterTheRankHasLeftIsClosedAtOnce() {
    closings.close(Duration.ZERO);
    add("first", true, false);
    assertThat(closed).containsExactly("first alone");
    assertThat(closings.settle()).isTrue();
  }

  @Test
  void whoSettlesDoesNotFailWithWhatAnotherLeft() {
    add("first", true, true);
    add("second", true, false);
    assertThat(closings.settle()).isTrue();
    assertThat(closed).containsExactly("first together", "second together");
    add("third", false, false);
    assertThat(closings.settle()).isFalse();
  }
}
