package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.transport.CurrentCore;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
class OwnCoreTest {
  private static BitSet cores(int... numbers) {
    BitSet cores = new BitSet();
    Arrays.stream(numbers).forEach(cores::set);
    return cores;
  }

  private static List<Integer> places(int[] on, BitSet... allowed) {
    return OwnCore.places(on, List.of(allowed));
  }

  @Test
  void whoIsAloneOnACoreStays() {
    assertThat(places(new int[] {1, 0}, cores(0, 1), cores(0, 1))).containsExactly(1, 0);
  }

  @Test
  void whoMeetsAnotherGetsACoreThatNobodyHas() {
    assertThat(places(new int[] {1, 1, 0}, cores(0, 1, 2), cores(0, 1, 2), cores(0, 1, 2)))
        .containsExactly(1, 2, 0);
  }

  @Test
  void whoseCoreIsNotKnownGetsOne() {
    int unknown = CurrentCore.UNKNOWN;
    assertThat(places(new int[] {unknown, 0}, cores(0, 1), cores(0, 1))).containsExactly(1, 0);
  }

  @Test
  void whereSomeGetNoneNobodyIsKept() {
    assertThat(places(new int[] {0, 0}, cores(0), cores(0))).isEmpty();
    assertThat(places(new int[] {0, 1}, cores(0), cores())).isEmpty();
  }

  @Test
  void aThreadIsOnItsCoreExceptForWhatIsDoneFreely() {
    BitSet before = CurrentCore.allowed();
    assumeTrue(before.cardinality() > 1, "no second core to be kept from: allowed=" + before);
    int last = before.length() - 1;
    try (OwnCore own = new OwnCore()) {
      own.keep(last);
      assertThat(CurrentCore.allowed()).isEqualTo(cores(last));
      assertThat(own.whileFree(CurrentCore::allowed)).isEqualTo(before);
      assertThat(CurrentCore.allowed()).isEqualTo(cores(last));
      assertThat(own.allowed()).isEqualTo(before);
    }
    assertThat(CurrentCore.allowed()).isEqualTo(before);
  }
}
