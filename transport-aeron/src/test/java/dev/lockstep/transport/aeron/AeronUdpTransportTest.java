package dev.lockstep.transport.aeron;

import dev.lockstep.transport.TransportContractTest;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;

/// With the long suites: on every run the bad network's messages and the collectives over Aeron
/// stand for it.
@Tag("long")
final class AeronUdpTransportTest extends TransportContractTest {
  @TempDir private Path directory;

  @Override
  protected TransportHarness open(int ranks) {
    return TransportHarness.open(new AeronUdpProvider(), ranks, directory);
  }
}
