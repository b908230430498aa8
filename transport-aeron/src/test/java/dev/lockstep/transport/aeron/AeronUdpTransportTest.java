package dev.lockstep.transport.aeron;

import dev.lockstep.transport.TransportContractTest;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;

final class AeronUdpTransportTest extends TransportContractTest {
  @TempDir private Path directory;

  @Override
  protected TransportHarness open(int ranks) {
    return TransportHarness.open(new AeronUdpProvider(), ranks, directory);
  }
}
