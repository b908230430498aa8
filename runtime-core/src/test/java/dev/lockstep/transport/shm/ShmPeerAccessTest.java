package dev.lockstep.transport.shm;

import dev.lockstep.transport.PeerAccessContractTest;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;

final class ShmPeerAccessTest extends PeerAccessContractTest {
  @TempDir private Path directory;

  @Override
  protected TransportHarness open(int ranks) {
    return TransportHarness.open(new ShmTransportProvider(), ranks, directory);
  }
}
