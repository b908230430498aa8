package dev.lockstep.memory;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

final class LockedMemoryTest {
  private static List<String> limits(String soft) {
    return List.of(
        "Limit                     Soft Limit           Hard Limit           Units     ",
        "Max processes             31456                31456                processes ",
        "Max locked memory         %-20s unlimited            bytes     ".formatted(soft));
  }

  @Test
  void readsTheSoftLimit() {
    assertThat(LockedMemory.parse(limits("8388608")).bytes()).isEqualTo(8 << 20);
    assertThat(LockedMemory.parse(limits("unlimited")).bytes()).isEqualTo(Long.MAX_VALUE);
    assertThat(LockedMemory.parse(List.of()).bytes()).isEqualTo(64 << 10);
    assertThat(LockedMemory.find(List.of())).isEmpty();
  }

  /// Containers have the capability in a user namespace of their own, where it lifts no limit.
  @Test
  void processThatMayLockWhatItWantsIsNotLimited() {
    List<String> may = List.of("Name:\tjava", "CapEff:\t0000000000004000", "Threads:\t9");
    List<String> system = List.of("         0          0 4294967295");
    assertThat(LockedMemory.isExempt(may, system)).isTrue();
    assertThat(LockedMemory.isExempt(List.of("CapEff:\tffffffffffffbfff"), system)).isFalse();
    assertThat(LockedMemory.isExempt(may, List.of("         0     100000      65536"))).isFalse();
    assertThat(LockedMemory.isExempt(may, List.of())).isFalse();
    assertThat(LockedMemory.isExempt(List.of(), system)).isFalse();
  }

  @Test
  void tooLittleIsASentenceWithItsRemedy() {
    assertThat(LockedMemory.parse(limits("8388608")).sentence())
        .isEqualTo(
            "locked memory 8192 KiB is too little, large messages are copied (ulimit -l unlimited,"
                + " or memlock in /etc/security/limits.conf)");
    assertThat(LockedMemory.parse(limits("unlimited")).sentence())
        .isEqualTo("locked memory unlimited");
    assertThat(new LockedMemory(1L << 33).sentence()).isEqualTo("locked memory 8388608 KiB");
  }
}
