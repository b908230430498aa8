package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// A peer that was stopped writes by leave that it has lost. Over sockets the provider then ends
/// the connection of the two ranks, and with it go messages of their other links, which their
/// sender has been told as sent.
@Timeout(30)
final class RefusedWriteTest {
  private static final int DOOMED = 1;
  private static final int OTHER = 2;
  private static final int LARGE = 40_000;
  private static final int SMALL = 100;

  /// Far below any deadline of a collective.
  private static final Duration AT_ONCE = Duration.ofSeconds(2);

  @TempDir private Path directory;

  private final AtomicBoolean writerIsStopped = new AtomicBoolean();
  private final AtomicBoolean ownerIsStopped = new AtomicBoolean();

  /// A frame, and a segment.
  @ParameterizedTest(name = "{0}, {1} bytes")
  @CsvSource({
    "ofi:tcp, " + SMALL,
    "ofi:tcp, " + LARGE,
    "ofi:net, " + SMALL,
    "ofi:net, " + LARGE,
  })
  void whatIsLostWithItFailsAtOnceOnBothRanks(String wire, int bytes) {
    FabricProvider provider = FabricProcess.provider(wire);
    LibfabricJudge.require(provider);
    try (TransportHarness ranks = open(provider)) {
      Pair doomed = ranks.link(0, 1, DOOMED);
      Pair other = ranks.link(0, 1, OTHER);
      Transfer awaited = receive(ranks.zeros(0, bytes), OTHER, 0);
      Buffer lent = ranks.buffer(LARGE);
      ranks.post(doomed.receiver(), receive(lent.registration(), DOOMED, 0));
      ranks.post(other.receiver(), awaited);
      ranks.until(((SendLink) doomed.sender())::holdsGrant);
      ranks.until(() -> ((SendLink) other.sender()).holdsGrant() == bytes > SMALL);
      writerIsStopped.set(true);
      doomed.receiver().abandon();
      ownerIsStopped.set(true); // all of it is on its way when the first of it is refused
      Transfer lost = send(ranks.random(0, bytes, 1), OTHER, 0);
      Transfer next = send(ranks.random(0, LARGE, 2), OTHER, 1);
      var _ = doomed.sender().post(send(ranks.random(0, LARGE, 3), DOOMED, 0));
      assertThat(other.sender().post(lost)).isEqualTo(Link.ACCEPTED);
      assertThat(other.sender().post(next)).isEqualTo(Link.ACCEPTED);
      ownerIsStopped.set(false);
      writerIsStopped.set(false);
      long start = System.nanoTime();
      assertThat(ranks.failure(awaited)).satisfies(failure -> names(failure, "rank 0"));
      assertThat(ranks.failure(next)).satisfies(failure -> names(failure, "rank 1"));
      assertThat(Duration.ofNanos(System.nanoTime() - start))
          .as(MachineLoad::now)
          .isLessThan(AT_ONCE);
      givesBack(ranks, doomed, lent);
    }
  }

  /// What was refused never comes, though its sender counts it as written.
  private static void givesBack(TransportHarness ranks, Pair doomed, Buffer lent) {
    Engine owner = ((FabricTransport) ranks.transport(1)).engine();
    int regions = owner.cache().size();
    lent.close();
    ranks.until(() -> owner.cache().size() < regions);
    int number = ((ReceiveLink) doomed.receiver()).number();
    assertThat(owner.links().receivers().get(number)).isNull();
  }

  private static void names(RuntimeException failure, String peer) {
    assertThat(failure).isInstanceOf(TransportException.class);
    assertThat(((TransportException) failure).endpoint()).isEqualTo(peer);
  }

  private TransportHarness open(FabricProvider provider) {
    return new TransportHarness(
        TransportHarness.contexts(2, directory).stream()
            .map(
                context ->
                    provider.open(
                        context,
                        FabricOptions.defaults(),
                        library ->
                            new StoppingLibfabric(
                                library, context.rank() == 0 ? writerIsStopped : ownerIsStopped)))
            .map(Transport.class::cast)
            .toList());
  }
}
