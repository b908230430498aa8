package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.plan.LinkTable;
import dev.lockstep.locale.PersianDigits;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What ranks say to each other has the same digits in every locale.
@Timeout(60)
class LocalesTest {
  private final PersianDigits digits = new PersianDigits();

  @AfterEach
  void formatAsBefore() {
    digits.close();
  }

  @Test
  void communicatorsAreSplit() {
    Ranks.run(
        2,
        SameBitsTest.over("in-process"),
        rank -> {
          try (Communicator part = rank.communicator.split(0, -rank.number()).orElseThrow()) {
            assertThat(part.jobRanks()).containsExactly(1, 0);
          }
          return true;
        });
  }

  @Test
  void fitsAreFoundAgain() {
    assertThat(LinkTable.key("shm", 2, 1, "host")).startsWith("transport=shm ranks=2 hosts=1 ");
  }
}
