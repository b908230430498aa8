package dev.lockstep.transport.aeron;

import dev.lockstep.transport.TransportContractTest;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;

/// With the long suites: what it has beyond UDP is the channel's name.
@Tag("long")
final class AeronIpcTransportTest extends TransportContractTest {
  @TempDir private Path directory;

  @Override
  protected TransportHarness open(int ranks) {
    return TransportHarness.open(new AeronIpcProvider(), ranks, directory);
  }
}
