package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.TransportException;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Layouts;
import dev.lockstep.transport.efa.ffi.Libfabric;
import dev.lockstep.transport.efa.ffi.QueueCalls;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A provider that gives a segment up after it had begun to arrive, as `udp;ofi_rxd` of 1.17 does
/// where packets are lost both ways: its sender has been told that it is there.
@Timeout(30)
final class LostSegmentTest {
  private static final int WORLD = 1;
  private static final int CUT_AT = 229_024;

  @TempDir private Path directory;

  /// What the provider says of the segment.
  private volatile long immediate;

  private TransportHarness open(int ranks, AtomicInteger cuts) {
    LibfabricJudge.require(new OfiTcpProvider());
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(ranks, directory)) {
      AtomicInteger of = context.rank() == 1 ? cuts : new AtomicInteger();
      transports.add(
          new OfiTcpProvider()
              .open(
                  context, FabricOptions.defaults(), library -> new CuttingLibfabric(library, of)));
    }
    return new TransportHarness(transports);
  }

  @Test
  void receiverNamesTheOnePeerThatWrites() {
    AtomicInteger cuts = new AtomicInteger();
    try (TransportHarness ranks = open(3, cuts)) {
      Pair link = ranks.link(0, 1, WORLD);
      Pair other = ranks.link(2, 1, WORLD);
      var cut = receive(ranks.zeros(0, 1_000_000), WORLD, 0);
      var spared = receive(ranks.zeros(0, 1000), WORLD, 0);
      ranks.post(link.receiver(), cut);
      ranks.post(other.receiver(), spared);
      ranks.until(((ReceiveLink) link.receiver())::holdsMemory);
      cuts.set(1);
      assertThat(ranks.failure(cut))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("endpoint=rank 0")
          .hasMessageContaining("segment was cut after " + CUT_AT + " bytes");
      assertThat(spared.failure()).isNull();
    }
  }

  @Test
  @Tag("long")
  void allLinksFailWhereSeveralPeersWrite() {
    AtomicInteger cuts = new AtomicInteger();
    try (TransportHarness ranks = open(3, cuts)) {
      var first = receive(ranks.zeros(0, 1_000_000), WORLD, 0);
      var second = receive(ranks.zeros(0, 1_000_000), WORLD, 0);
      Pair link = ranks.link(0, 1, WORLD);
      Pair other = ranks.link(2, 1, WORLD);
      ranks.post(link.receiver(), first);
      ranks.post(other.receiver(), second);
      ranks.until(((ReceiveLink) link.receiver())::holdsMemory);
      ranks.until(((ReceiveLink) other.receiver())::holdsMemory);
      cuts.set(1);
      assertThat(ranks.failure(first)).hasMessageContaining("endpoint=local");
      assertThat(ranks.failure(second)).hasMessageContaining("endpoint=local");
    }
  }

  /// As `net` reports a connection that ends within a segment.
  @Test
  void segmentThatIsNamedFailsItsPeerAlone() {
    AtomicInteger cuts = new AtomicInteger();
    try (TransportHarness ranks = open(3, cuts)) {
      var first = receive(ranks.zeros(0, 1_000_000), WORLD, 0);
      var second = receive(ranks.zeros(0, 1_000_000), WORLD, 0);
      Pair link = ranks.link(0, 1, WORLD);
      Pair other = ranks.link(2, 1, WORLD);
      ranks.post(link.receiver(), first);
      ranks.post(other.receiver(), second);
      ranks.until(((ReceiveLink) link.receiver())::holdsMemory);
      ranks.until(((ReceiveLink) other.receiver())::holdsMemory);
      immediate = Wire.immediate(((ReceiveLink) other.receiver()).number(), 0, 1, 0);
      cuts.set(1);
      assertThat(ranks.failure(second)).hasMessageContaining("endpoint=rank 2");
      assertThat(first.failure()).isNull();
    }
  }

  /// Reports as many segments as cut as it is told to.
  private final class CuttingLibfabric extends ForwardingLibfabric {
    private final AtomicInteger cuts;

    CuttingLibfabric(Libfabric library, AtomicInteger cuts) {
      super(library);
      this.cuts = cuts;
    }

    @Override
    public long cqRead(QueueCalls queue, long entries, long count) {
      return cuts.get() > 0 ? -Fi.EAVAIL : super.cqRead(queue, entries, count);
    }

    @Override
    public long cqReaderr(QueueCalls queue, MemorySegment entry) {
      if (cuts.get() == 0) {
        return super.cqReaderr(queue, entry);
      }
      cuts.decrementAndGet();
      Discovery.set(entry, Layouts.CQ_ERR_ENTRY, "flags", Fi.REMOTE_WRITE | Fi.REMOTE_CQ_DATA);
      Discovery.set(entry, Layouts.CQ_ERR_ENTRY, "len", (long) CUT_AT);
      Discovery.set(entry, Layouts.CQ_ERR_ENTRY, "data", immediate);
      Discovery.set(entry, Layouts.CQ_ERR_ENTRY, "err", 265); // FI_ETRUNC
      return 1;
    }
  }
}
