package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.send;
import static dev.lockstep.transport.TransportHarness.stamped;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Communicators come and go while their transport stays.
@Timeout(30)
final class ClosedLinksTest {
  private static final int BYTES = 400_000;

  @TempDir private Path directory;

  @Test
  void giveTheirMemoryBackWhileTheTransportIsOpen() {
    LibfabricJudge.require(new OfiTcpProvider());
    // The tensors do not fit into the budget, staging memory does.
    FabricOptions copying = new FabricOptions(1, 4096, 65_536, false, true, 300_000);
    List<TransportContext> contexts = TransportHarness.contexts(2, directory);
    try (TransportHarness ranks =
        new TransportHarness(
            contexts.stream()
                .map(context -> new OfiTcpProvider().open(context, copying))
                .toList())) {
      long sender = contexts.get(0).memory().usedBytes();
      long slab = FrameShape.STREAM.offset(FrameSlab.FRAMES);
      long receiver = contexts.get(1).memory().usedBytes() + slab;
      for (int communicator = 0; communicator < 12; communicator++) {
        Pair link = ranks.link(0, 1, communicator);
        reduce(ranks, link, communicator);
        assertThat(contexts.get(0).memory().usedBytes()).isGreaterThan(sender);
        assertThat(contexts.get(1).memory().usedBytes()).isGreaterThan(receiver);
        Link first = communicator % 2 == 0 ? link.sender() : link.receiver();
        first.close();
        link.sender().close();
        link.receiver().close();
        ranks.until(() -> contexts.get(0).memory().usedBytes() == sender);
        ranks.until(() -> contexts.get(1).memory().usedBytes() == receiver);
      }
    }
  }

  private static void reduce(TransportHarness ranks, Pair link, int communicator) {
    Registration target = ranks.zeros(0, BYTES);
    Sink sink = new Sink.Reduce(target, DType.I32, new ReduceOp.Sum());
    Transfer receiving = stamped(Transfer.receive(sink), communicator, 0);
    Transfer sending = send(ranks.random(0, BYTES, 1), communicator, 0);
    ranks.post(link.receiver(), receiving);
    ranks.post(link.sender(), sending);
    ranks.await(sending, receiving);
  }
}
