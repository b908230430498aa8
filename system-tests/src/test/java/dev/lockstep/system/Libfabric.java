package dev.lockstep.system;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.failure.Availability;
import dev.lockstep.transport.TransportProvider;
import java.util.ServiceLoader;

/// Skips tests of transports over libfabric where it is not installed.
final class Libfabric {
  private Libfabric() {}

  /// Skips the test if it needs libfabric and there is none.
  static void require(String transport) {
    for (TransportProvider provider : ServiceLoader.load(TransportProvider.class)) {
      if ((transport.startsWith("ofi:") || transport.startsWith("stand-in-"))
          && provider.name().equals(transport)
          && provider.probe() instanceof Availability.Unavailable(String reason)) {
        assumeTrue(false, "judge libfabric: " + reason);
      }
    }
  }
}
