package dev.lockstep.transport.aeron;

import dev.lockstep.locale.PersianDigits;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Ranks read each other's addresses whatever digits their locales write.
@Timeout(60)
final class LocaleTest {
  @TempDir private Path directory;

  @Test
  void messagesArriveWhereNumbersHaveOtherDigits() {
    try (PersianDigits _ = new PersianDigits();
        TransportHarness ranks = TransportHarness.open(new AeronUdpProvider(), 2, directory)) {
      ranks.exchange(2, 1000);
    }
  }
}
