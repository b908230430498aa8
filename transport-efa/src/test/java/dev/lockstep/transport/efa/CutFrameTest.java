package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import dev.lockstep.transport.efa.ffi.QueueCalls;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A connection that ends within a frame: the provider gives back the receive that it was filling.
@Timeout(30)
final class CutFrameTest {
  private static final int WORLD = 1;

  @TempDir private Path directory;

  @ParameterizedTest(name = "error={0}")
  @ValueSource(ints = {Fi.ECANCELED, Fi.ENOTCONN, Fi.ECONNRESET, Fi.ECONNABORTED})
  void costsNeitherTheReceiveNorALink(int error) {
    LibfabricJudge.require(new OfiTcpProvider());
    List<TransportContext> contexts = TransportHarness.contexts(2, directory);
    var first = new OfiTcpProvider().open(contexts.getFirst());
    GivingBack[] library = new GivingBack[1];
    var second =
        new OfiTcpProvider()
            .open(
                contexts.getLast(),
                FabricOptions.defaults(),
                found -> library[0] = new GivingBack(found));
    try (TransportHarness ranks = new TransportHarness(List.of(first, second))) {
      Pair link = ranks.link(0, 1, WORLD);
      var one = receive(ranks.zeros(1, 1000), WORLD, 0);
      ranks.post(link.receiver(), one);
      library[0].error = error;
      ranks.until(() -> library[0].error == 0 && library[0].postedAgain);
      ranks.post(link.sender(), send(ranks.zeros(0, 1000), WORLD, 0));
      ranks.await(one);
    }
  }

  /// Gives the receive that was posted last back, once, with the error that it is told.
  private static final class GivingBack extends ForwardingLibfabric {
    private volatile int error;
    private volatile boolean postedAgain;
    private long lent;
    private boolean givenBack;

    GivingBack(Libfabric library) {
      super(library);
    }

    @Override
    public long recv(
        EndpointCalls endpoint, long buffer, long bytes, long descriptor, long context) {
      if (givenBack && context == lent) {
        // The provider still has it: the memory is the same.
        postedAgain = true;
        return 0;
      }
      lent = context;
      return super.recv(endpoint, buffer, bytes, descriptor, context);
    }

    @Override
    public long cqRead(QueueCalls queue, long entries, long count) {
      return error == 0 ? super.cqRead(queue, entries, count) : -Fi.EAVAIL;
    }

    @Override
    public long cqReaderr(QueueCalls queue, MemorySegment entry) {
      if (error == 0) {
        return super.cqReaderr(queue, entry);
      }
      givenBack = true;
      entry.set(JAVA_LONG, 0, lent);
      Discovery.set(entry, Layouts.CQ_ERR_ENTRY, "err", error);
      error = 0;
      return 1;
    }
  }
}
