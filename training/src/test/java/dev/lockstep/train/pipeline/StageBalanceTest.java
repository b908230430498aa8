package dev.lockstep.train.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import org.junit.jupiter.api.Test;

class StageBalanceTest {
  @Test
  void theMostCostlyStageCostsAsLittleAsMayBe() {
    assertThat(StageBalance.cuts(List.of(1L, 1L, 1L, 1L), 2)).containsExactly(1);
    assertThat(StageBalance.cuts(List.of(1L, 1L, 1L, 4L), 2)).containsExactly(2);
    assertThat(StageBalance.cuts(List.of(3L, 1L, 1L, 1L, 3L), 3)).containsExactly(0, 3);
    assertThat(StageBalance.cuts(List.of(5L, 7L), 2)).containsExactly(0);
    assertThat(StageBalance.cuts(List.of(5L), 1)).isEmpty();
  }

  @Test
  void everyStageHasALayer() {
    assertThatThrownBy(() -> StageBalance.cuts(List.of(1L), 2))
        .hasMessageContaining("every stage has a layer: stages=2, layers=1");
  }
}
