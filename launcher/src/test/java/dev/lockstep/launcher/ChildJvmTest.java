package dev.lockstep.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

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
    for (String heap :
        List.of("-XX:MaxRAMPercentage=50", "-XX:MaxHeapSize=1g", "-XX:InitialHeapSize=1g")) {
      assertThat(ChildJvm.command(List.of(heap), List.of("gpt")))
          .contains(heap)
          .doesNotContain("-Xmx256m", "-Xms256m");
    }
    assertThat(ChildJvm.command(List.of("-Xmn64m"), List.of("gpt")))
        .contains("-Xmn64m", "-Xmx256m", "-Xms256m");
  }

  @Test
  void startsFromAnArchiveOfClassesWhereThereIsOneOfTheseJars(@TempDir Path folder)
      throws IOException {
    String jars = folder.resolve("lib").toString();
    assertThat(ChildJvm.archive(jars)).isEmpty();
    Path archive = Files.createFile(folder.resolve(ChildJvm.ARCHIVE));
    assertThat(ChildJvm.archive(jars)).isEmpty();
    Path madeFor = folder.resolve(ChildJvm.MADE_FOR);
    Files.writeString(madeFor, jars + "\n");
    assertThat(ChildJvm.archive(jars)).contains("-XX:SharedArchiveFile=" + archive);
    assertThat(ChildJvm.archive(jars + File.pathSeparator + "more")).isEmpty();
    Files.writeString(madeFor, folder.resolveSibling("elsewhere").resolve("lib") + "\n");
    assertThat(ChildJvm.archive(jars)).isEmpty();
  }
}
