package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.send;
import static dev.lockstep.transport.TransportHarness.stamped;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.lang.ref.WeakReference;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Communicators come and go while their transport stays.
@Timeout(30)
final class ClosedLinksTest {
  private static final int BYTES = 400_000;
  private static final Duration PATIENCE = Duration.ofSeconds(20);

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

  @Test
  @Tag("long")
  void areForgottenAndTheirNumbersGivenToOthers() {
    LibfabricJudge.require(new OfiTcpProvider());
    int count = 20_000; // more than a segment's link field has numbers
    try (TransportHarness ranks = TransportHarness.open(new OfiTcpProvider(), 2, directory)) {
      List<WeakReference<Link>> ends = new ArrayList<>();
      for (int communicator = 0; communicator < count; communicator++) {
        Pair link = open(ranks, communicator);
        if (communicator % 100 == 0) {
          ranks.deliver(link, communicator, 0, communicator % 200 == 0 ? 100 : BYTES);
        }
        Link first = communicator % 2 == 0 ? link.sender() : link.receiver();
        first.close();
        if (communicator % 3 == 0) {
          var _ = ranks.poll();
        }
        link.sender().close();
        link.receiver().close();
        ends.add(new WeakReference<>(link.sender()));
        ends.add(new WeakReference<>(link.receiver()));
        ranks.until(() -> openEnds(ranks) < 32);
      }
      ranks.until(() -> openEnds(ranks) == 0);
      assertThat(links(ranks, 0).places() + links(ranks, 1).places()).isLessThan(128);
      Deadline.until(
          () -> {
            System.gc();
            return ends.stream().filter(end -> end.get() != null).count() < 8;
          });
    }
  }

  private static Pair open(TransportHarness ranks, int communicator) {
    Link receiver = ranks.transport(1).openReceive(0, communicator, PATIENCE);
    return new Pair(ranks.transport(0).openSend(1, communicator, PATIENCE), receiver);
  }

  private static Links links(TransportHarness ranks, int rank) {
    return ((FabricTransport) ranks.transport(rank)).engine().links();
  }

  private static int openEnds(TransportHarness ranks) {
    int open = 0;
    for (int rank : ranks.numbers()) {
      Engine engine = ((FabricTransport) ranks.transport(rank)).engine();
      engine.hold();
      for (int place = 0; place < engine.links().places(); place++) {
        open += engine.links().at(place) == null ? 0 : 1;
      }
      engine.letGo();
    }
    return open;
  }

  @Test
  void turnALateSenderAwayAndTroubleNobodyWhoHasTheirNumber() {
    LibfabricJudge.require(new OfiTcpProvider());
    try (TransportHarness ranks = TransportHarness.open(new OfiTcpProvider(), 2, directory)) {
      ReceiveLink closed = (ReceiveLink) ranks.transport(1).openReceive(0, 1, PATIENCE);
      closed.close();
      ReceiveLink next = (ReceiveLink) ranks.transport(1).openReceive(0, 2, PATIENCE);
      assertThat(next.number()).isNotEqualTo(closed.number());
      assertThat(next.number() % Wire.MOST_LINKS).isEqualTo(closed.number());

      Link late = ranks.transport(0).openSend(1, 1, PATIENCE);
      Transfer unwanted = send(ranks.random(0, 100, 1), 1, 0);
      Transfer never = send(ranks.random(0, BYTES, 1), 1, 1);
      ranks.post(late, unwanted);
      ranks.post(late, never);
      assertThat(ranks.failure(never)).hasMessageContaining("link was closed by its receiver");
      assertThat(next.isGreeted()).isFalse();
      assertThat(next.unreadFrames()).isZero();

      ranks.deliver(new Pair(ranks.transport(0).openSend(1, 2, PATIENCE), next), 2, 0, BYTES);
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
