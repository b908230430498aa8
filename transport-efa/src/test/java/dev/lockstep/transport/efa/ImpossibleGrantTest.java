package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.Envelope;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A sender writes where and as much as it is asked to: what it is asked for is checked.
@Timeout(30)
final class ImpossibleGrantTest {
  private static final int WORLD = 1;
  private static final int BYTES = 1_000_000;

  @TempDir private Path directory;

  @BeforeEach
  void libfabricIsThere() {
    LibfabricJudge.require(new OfiTcpProvider());
  }

  /// Has the sending end hear a grant that nobody has said, with room for one rail.
  private static void grant(
      TransportHarness ranks,
      Pair link,
      long number,
      int segment,
      long bytes,
      int rails,
      Envelope envelope) {
    Engine engine = ((FabricTransport) ranks.transport(0)).engine();
    try (Arena arena = Arena.ofConfined()) {
      int body = Grants.bodyBytes(1);
      MemorySegment frame = arena.allocate(Wire.HEADER_BYTES + body, 8);
      Wire.header(frame, 0, Wire.GRANT, TransportHarness.JOB, 0, body, number, number);
      Grants.write(frame, Wire.HEADER_BYTES, segment, rails, bytes, envelope);
      engine.hold();
      ((SendLink) link.sender()).told(Wire.GRANT, frame, 0);
      engine.letGo();
    }
  }

  @ParameterizedTest(name = "segment={0}, bytes={1}, rails={2}")
  @CsvSource({
    "262144, 1000064, 1",
    "16, 1000000, 1",
    "0, 1000000, 1",
    "262144, -1, 1",
    "262144, 1000000, 2"
  })
  void failsTheLinkAndTheReceiverHearsOfIt(int segment, long bytes, int rails) {
    try (TransportHarness ranks = TransportHarness.open(new OfiTcpProvider(), 2, directory)) {
      Pair link = ranks.link(0, 1, WORLD);
      Transfer sending = send(ranks.random(0, BYTES, 1), WORLD, 0);
      grant(ranks, link, 0, segment, bytes, rails, sending.envelope());
      Transfer waiting = receive(ranks.zeros(0, 4), WORLD, 0);
      ranks.post(link.receiver(), waiting);
      var _ = link.sender().post(sending);
      assertThat(ranks.failure(sending))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("grant is impossible");
      assertThat(ranks.failure(waiting)).hasMessageContaining("link was closed by its sender");
    }
  }
}
