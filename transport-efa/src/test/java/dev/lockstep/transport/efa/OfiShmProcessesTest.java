package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Two processes over `shm`, each of which finds the other by a file that its provider removes at a
/// signal of its own process.
@Timeout(60)
final class OfiShmProcessesTest {
  private static final long[] SIZES = {1 << 6, 1 << 16, 1 << 20, 16 << 20, 1 << 18};

  @TempDir private Path directory;

  @Test
  void messagesOfAllLengthsArriveWhole() throws Exception {
    LibfabricJudge.require(new OfiShmProvider());
    int messages = 2 * SIZES.length;
    Process other = FabricProcess.start("ofi:shm", directory, Map.of(), 1, messages, SIZES);
    try (FabricProcess mine = new FabricProcess("ofi:shm", 0, directory)) {
      for (int sequence = 0; sequence < messages; sequence++) {
        mine.exchangeWhole(sequence, SIZES[sequence % SIZES.length]);
      }
      mine.transport.close();
      assertThat(other.waitFor(30, TimeUnit.SECONDS)).as("other has ended").isTrue();
      assertThat(Files.readString(FabricProcess.log(directory, 1))).contains(FabricProcess.WHOLE);
    } finally {
      other.destroyForcibly();
    }
  }
}
