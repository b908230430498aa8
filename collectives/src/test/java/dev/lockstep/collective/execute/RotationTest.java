package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/// However many ranks wait, each asks for few others at a time, and in time for all.
final class RotationTest {
  private static final int RANKS = 1000;
  private static final int OWN = 7;

  @Test
  void looksAtFewAtATimeAndInTimeAtEverybody() {
    Rotation rotation = new Rotation();
    Set<Integer> seen = new HashSet<>();
    for (int look = 0; look < RANKS / Rotation.FEW; look++) {
      Set<Integer> now = rotation.few(List.of(500, 501), RANKS, OWN);
      assertThat(now).hasSizeLessThanOrEqualTo(2 * Rotation.FEW).contains(500, 501);
      seen.addAll(now);
    }
    assertThat(seen).hasSize(RANKS - 1).doesNotContain(OWN);
  }

  @Test
  void whereManyAreMissingEachHasItsTurn() {
    Rotation rotation = new Rotation();
    List<Integer> missing = IntStream.range(100, 140).boxed().toList();
    Set<Integer> seen = new HashSet<>();
    for (int look = 0; look < missing.size() / Rotation.FEW; look++) {
      seen.addAll(rotation.few(missing, RANKS, OWN));
    }
    assertThat(seen).containsAll(missing);
  }
}
