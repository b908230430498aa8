package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Somebody who knows where a rank listens, and not the number of its job, which the store tells
/// only to those that have proved the job's token.
@Timeout(30)
final class StrangerTest {
  private static final int WORLD = 1;
  private static final int BYTES = 4096;
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  @TempDir private Path directory;

  private static TransportContext ofAnotherJob(TransportContext context) {
    return new TransportContext(
        context.jobId() + 1,
        context.rank(),
        context.hosts(),
        context.bindAddress(),
        context.directory(),
        context.localLeader(),
        context.addresses(),
        context.memory(),
        context.liveness());
  }

  @Test
  void aGreetingAndAMessageOfAnotherJobAreNotHeard() {
    FabricProvider provider = new OfiTcpProvider();
    LibfabricJudge.require(provider);
    List<TransportContext> contexts = TransportHarness.contexts(2, directory);
    try (TransportHarness ranks =
        new TransportHarness(
            List.of(
                provider.open(contexts.getFirst()),
                provider.open(contexts.getLast()),
                provider.open(ofAnotherJob(contexts.getFirst()))))) {
      ReceiveLink receiver = (ReceiveLink) ranks.transport(1).openReceive(0, WORLD, PATIENCE);
      Link strange = ranks.transport(2).openSend(1, WORLD, PATIENCE);
      Transfer forged = send(ranks.random(0, BYTES, 1), WORLD, 0);
      ranks.post(strange, forged);
      ranks.await(forged);
      Engine stranger = ((FabricTransport) ranks.transport(2)).engine();
      ranks.until(() -> !isBusy(stranger));
      assertThat(receiver.isGreeted()).isFalse();

      Link honest = ranks.transport(0).openSend(1, WORLD, PATIENCE);
      Registration source = ranks.random(0, BYTES, 2);
      Registration target = ranks.zeros(0, BYTES);
      Transfer sending = send(source, WORLD, 0);
      Transfer expected = receive(target, WORLD, 0);
      ranks.post(receiver, expected);
      ranks.post(honest, sending);
      ranks.await(expected, sending);
      assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
      assertThat(receiver.isGreeted()).isTrue();
    }
  }

  private static boolean isBusy(Engine engine) {
    engine.hold();
    try {
      return engine.isBusy();
    } finally {
      engine.letGo();
    }
  }
}
