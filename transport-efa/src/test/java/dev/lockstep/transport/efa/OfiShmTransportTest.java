package dev.lockstep.transport.efa;

import dev.lockstep.transport.TransportContractTest;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;

/// On every run the others' tests stand for this one; it is the same code on another wire.
@Tag("long")
final class OfiShmTransportTest extends TransportContractTest {
  @TempDir private Path directory;

  @Override
  protected TransportHarness open(int ranks) {
    return LibfabricJudge.open(new OfiShmProvider(), ranks, directory);
  }
}
