package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

final class ChildJvmTest {
  @Test
  void startsComputingRanksOnTheSameClassPath() {
    assertThat(ChildJvm.command(List.of(), List.of("gpt", "--steps", "3")))
        .contains("--add-modules=jdk.incubator.vector", "-Xmx256m", "-XX:+UseSerialGC")
        .contains("--class-path=" + System.getProperty("java.class.path"))
        .endsWith("dev.lockstep.launcher.RankMain", "gpt", "--steps", "3");
  }

  @Test
  void letsTheUsersHeapAndCollectorReplaceItsOwn() {
    assertThat(ChildJvm.command(List.of("-Xmx1g", "-XX:+UseZGC"), List.of("gpt")))
        .contains("-Xmx1g", "-XX:+UseZGC")
        .doesNotContain("-Xmx256m", "-Xms256m", "-XX:+UseSerialGC");
  }
}
