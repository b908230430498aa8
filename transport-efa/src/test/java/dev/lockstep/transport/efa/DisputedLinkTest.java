package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.transport.MismatchedEnvelopeException;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Libfabric;
import dev.lockstep.transport.efa.ffi.QueueCalls;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A receiver that hears that it waits for another message takes it for the word that nobody writes
/// its memory any more.
@Timeout(30)
final class DisputedLinkTest {
  private static final int WORLD = 1;
  private static final int BYTES = 1_000_000;

  @TempDir private Path directory;

  private final AtomicInteger disputes = new AtomicInteger();
  private volatile boolean holds;

  @Test
  void receiverHearsOfItWhenNothingIsOnItsWay() {
    LibfabricJudge.require(new OfiTcpProvider());
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(2, directory)) {
      transports.add(
          new OfiTcpProvider()
              .open(
                  context,
                  FabricOptions.defaults(),
                  library -> context.rank() == 0 ? new HoldingLibfabric(library) : library));
    }
    try (TransportHarness ranks = new TransportHarness(transports)) {
      Pair link = ranks.link(0, 1, WORLD);
      Pair back = ranks.link(1, 0, WORLD);
      ranks.post(link.receiver(), receive(ranks.zeros(0, BYTES), WORLD, 0));
      Transfer other = receive(ranks.zeros(0, BYTES), WORLD, 2);
      ranks.post(link.receiver(), other);
      ranks.until(((ReceiveLink) link.receiver())::holdsMemory);
      for (int turn = 0; turn < 3; turn++) {
        ranks.deliver(back, WORLD, turn, 100); // the sender has been asked for both by then
      }
      holds = true;
      Transfer first = send(ranks.random(0, BYTES, 1), WORLD, 0);
      assertThat(link.sender().post(first)).isZero();
      assertThat(link.sender().post(send(ranks.random(0, BYTES, 2), WORLD, 1))).isZero();
      assertThat(first.progress).isEqualTo(BYTES);
      for (int turn = 0; turn < 100; turn++) {
        ranks.poll();
      }
      assertThat(disputes.get()).isZero();
      holds = false;
      assertThat(ranks.failure(other)).isInstanceOf(MismatchedEnvelopeException.class);
      assertThat(disputes.get()).isEqualTo(1);
    }
  }

  /// Tells of no completion while it is told to.
  private final class HoldingLibfabric extends ForwardingLibfabric {
    HoldingLibfabric(Libfabric library) {
      super(library);
    }

    @Override
    public long cqRead(QueueCalls queue, long entries, long count) {
      return holds ? -Fi.EAGAIN : super.cqRead(queue, entries, count);
    }

    private void see(long buffer, long bytes) {
      if (Wire.kind(library.memory(buffer, bytes), 0) == Wire.DISPUTE) {
        disputes.incrementAndGet();
      }
    }

    @Override
    public long send(
        EndpointCalls endpoint,
        long buffer,
        long bytes,
        long descriptor,
        long destination,
        long context) {
      see(buffer, bytes);
      return super.send(endpoint, buffer, bytes, descriptor, destination, context);
    }

    @Override
    public long inject(EndpointCalls endpoint, long buffer, long bytes, long destination) {
      see(buffer, bytes);
      return super.inject(endpoint, buffer, bytes, destination);
    }
  }
}
