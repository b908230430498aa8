package dev.lockstep.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.BitSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(10)
class CurrentCoreTest {
  private static final Path ALLOWED = Path.of("/proc/thread-self/status");

  @Test
  void theCoreIsOneThatTheThreadMayRunOn() throws IOException {
    assumeTrue(Files.isReadable(ALLOWED), "no /proc");

    int core = CurrentCore.number();

    assertThat(core).isNotEqualTo(CurrentCore.UNKNOWN);
    String allowed =
        Files.readAllLines(ALLOWED).stream()
            .filter(line -> line.startsWith("Cpus_allowed_list:"))
            .map(line -> line.substring(line.indexOf(':') + 1).strip())
            .findFirst()
            .orElseThrow();
    boolean isAllowed = false;
    for (String range : allowed.split(",", -1)) {
      String[] ends = range.split("-", -1);
      isAllowed |=
          core >= Integer.parseInt(ends[0]) && core <= Integer.parseInt(ends[ends.length - 1]);
    }
    assertThat(isAllowed).as("core=%d, allowed=%s", core, allowed).isTrue();
    assertThat(CurrentCore.allowed().get(core)).isTrue();
  }

  @Test
  void aThreadThatIsKeptOnACoreRunsThereUntilItIsLetGo() {
    BitSet before = CurrentCore.allowed();
    assumeTrue(before.cardinality() > 1, "no second core to be kept from: allowed=" + before);
    try {
      before.stream().forEach(CurrentCoreTest::isKeptOn);
    } finally {
      assertThat(CurrentCore.keepOn(before)).isTrue();
    }
    assertThat(CurrentCore.allowed()).isEqualTo(before);
  }

  private static void isKeptOn(int core) {
    BitSet one = new BitSet();
    one.set(core);
    assertThat(CurrentCore.keepOn(one)).isTrue();
    assertThat(CurrentCore.allowed()).isEqualTo(one);
    assertThat(CurrentCore.number()).isEqualTo(core);
  }

  @Test
  void noCoreAtAllIsRefused() {
    assumeTrue(!CurrentCore.allowed().isEmpty(), "the system does not tell");
    assertThat(CurrentCore.keepOn(new BitSet())).isFalse();
  }
}
