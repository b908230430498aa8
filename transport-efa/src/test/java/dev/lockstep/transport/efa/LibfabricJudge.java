package dev.lockstep.transport.efa;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.failure.Availability;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;

/// Opens transports over libfabric where it is installed, and skips the test where it is not.
final class LibfabricJudge {
  private LibfabricJudge() {}

  static void require(FabricProvider provider) {
    if (provider.probe() instanceof Availability.Unavailable(String reason)) {
      assumeTrue(false, "judge libfabric: " + reason);
    }
  }

  static TransportHarness open(FabricProvider provider, int ranks, Path directory) {
    require(provider);
    return TransportHarness.open(provider, ranks, directory);
  }
}
