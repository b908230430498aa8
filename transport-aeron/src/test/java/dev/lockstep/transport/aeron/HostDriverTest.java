package dev.lockstep.transport.aeron;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.memory.MemoryPool;
import dev.lockstep.transport.AddressBook;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
final class HostDriverTest {
  @TempDir private Path directory;

  /// A book that refuses everything, and counts.
  private static final class Refusing implements AddressBook {
    private int refused;

    @Override
    public void publish(String key, byte[] value) {
      refused++;
      throw new IllegalStateException("refused: number=" + refused);
    }

    @Override
    public byte[] lookup(String key, Duration timeout) {
      throw new IllegalStateException("no key is here: key=" + key);
    }
  }

  @Test
  void tellsWhyItWasNotOpenedAndNotThatNobodyHearsOfIt() {
    MemoryPool memory = MemoryPool.root("rank 0", 1L << 30);
    TransportContext context = TransportHarness.context(0, 2, directory, new Refusing(), memory);
    assertThatThrownBy(() -> HostDriver.open(context, Medium.ipc()).close())
        .hasMessage("refused: number=1")
        .satisfies(
            failure ->
                assertThat(failure.getSuppressed())
                    .singleElement()
                    .satisfies(later -> assertThat(later).hasMessage("refused: number=2")));
  }
}
