package dev.lockstep.transport.efa;

import dev.lockstep.transport.TransportContractTest;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.io.TempDir;

final class OfiTcpTransportTest extends TransportContractTest {
  @TempDir private Path directory;

  @Override
  protected TransportHarness open(int ranks) {
    return LibfabricJudge.open(new OfiTcpProvider(), ranks, directory);
  }
}
