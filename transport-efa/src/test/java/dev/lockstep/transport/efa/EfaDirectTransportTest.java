package dev.lockstep.transport.efa;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.transport.TransportContractTest;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;

/// By EFA's device alone, over two cards of a stand-in that allows what EFA allows. On every run
/// [FabricTransportTest] has one exchange over it.
@Tag("long")
final class EfaDirectTransportTest extends TransportContractTest {
  private final EfaNetwork network = new EfaNetwork();

  @TempDir private Path directory;

  @Override
  protected TransportHarness open(int ranks) {
    return EfaDevice.open(
        ranks,
        directory,
        network,
        EfaCard.of("rdmap0s6-rdm", "efa-direct"),
        EfaCard.of("rdmap1s6-rdm", "efa-direct"));
  }

  @AfterEach
  void nothingWasDoneThatEfaDoesNotAllow() {
    assertThat(network.offences()).isEmpty();
  }
}
