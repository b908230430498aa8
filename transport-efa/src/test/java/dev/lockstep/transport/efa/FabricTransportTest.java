package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static dev.lockstep.transport.TransportHarness.stamped;
import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// What the contract of transports does not ask: rails, budgets, quarantine, and a wire that orders
/// nothing.
@Timeout(60)
final class FabricTransportTest {
  private static final int WORLD = 1;
  private static final FabricOptions USUAL = FabricOptions.defaults();

  @TempDir private Path directory;

  @BeforeEach
  void libfabricIsThere() {
    LibfabricJudge.require(new OfiTcpProvider());
  }

  private TransportHarness open(FabricProvider provider, FabricOptions options) {
    return new TransportHarness(
        TransportHarness.contexts(2, directory).stream()
            .map(context -> provider.open(context, options))
            .toList());
  }

  private static FabricProvider[] providers() {
    return new FabricProvider[] {new OfiTcpProvider(), new OfiShmProvider(), new OfiUdpProvider()};
  }

  /// Sends messages of many sizes both ways at once, to be stored and to be added up, and checks
  /// every byte.
  private static void exchange(TransportHarness ranks, int messages, int largest, long seed) {
    Pair there = ranks.link(0, 1, WORLD);
    Pair back = ranks.link(1, 0, WORLD);
    SplittableRandom random = new SplittableRandom(seed);
    int done = 0;
    while (done < messages) {
      int batch = 1 + random.nextInt(5);
      List<Transfer> all = new ArrayList<>();
      List<Registration[]> stored = new ArrayList<>();
      for (int i = 0; i < batch; i++) {
        int bytes = 4 * (random.nextInt(3) == 0 ? random.nextInt(largest / 4) : random.nextInt(99));
        for (Pair link : List.of(there, back)) {
          Registration source = ranks.random(random.nextInt(9), bytes, seed + done);
          Registration target = ranks.zeros(random.nextInt(9), bytes);
          boolean adds = random.nextBoolean();
          Sink sink =
              adds ? new Sink.Reduce(target, DType.I32, new ReduceOp.Sum()) : new Sink.Copy(target);
          all.add(send(source, WORLD, done));
          all.add(stamped(Transfer.receive(sink), WORLD, done));
          stored.add(new Registration[] {source, target});
          ranks.post(link.receiver(), all.getLast());
          ranks.post(link.sender(), all.get(all.size() - 2));
        }
        done++;
      }
      ranks.await(all.toArray(Transfer[]::new));
      for (Registration[] pair : stored) {
        assertThat(pair[1].segment().mismatch(pair[0].segment())).as("seed=%d", seed).isEqualTo(-1);
      }
      stored.forEach(
          pair -> {
            pair[0].region().close();
            pair[1].region().close();
          });
    }
  }

  @ParameterizedTest(name = "seed={0}")
  @ValueSource(longs = {1, 2, 3})
  void nothingDependsOnTheOrderOfCompletions(long seed) {
    for (FabricProvider provider : providers()) {
      List<Transport> transports = new ArrayList<>();
      for (TransportContext context : TransportHarness.contexts(2, directory)) {
        var options = new FabricOptions(2, 20_000, 4096, true, true, -1);
        transports.add(
            provider.open(
                context,
                options,
                library -> new ShufflingLibfabric(library, seed + context.rank())));
      }
      try (var ranks = new TransportHarness(transports)) {
        exchange(ranks, 60, 200_000, seed);
      }
    }
  }

  @Test
  void efasDeviceAloneIsAskedForNothingThatItDoesNotDo() {
    var network = new EfaNetwork();
    EfaCard[] cards = {
      EfaCard.of("rdmap0s6-rdm", "efa-direct"), EfaCard.of("rdmap1s6-rdm", "efa-direct")
    };
    try (TransportHarness ranks = EfaDevice.open(2, directory, network, cards)) {
      Engine engine = ((FabricTransport) ranks.transport(0)).engine();
      assertThat(engine.fabric()).isEqualTo(FabricInfo.EFA_DIRECT);
      assertThat(engine.rails()).hasSize(2);
      exchange(ranks, 30, 1_000_000, 11);
    }
    assertThat(network.offences()).isEmpty();
  }

  @Test
  void segmentsAreStripedOverRails() {
    for (FabricProvider provider : providers()) {
      try (TransportHarness ranks =
          open(provider, new FabricOptions(3, 4096, 65_536, true, false, -1))) {
        assertThat(((FabricTransport) ranks.transport(0)).engine().rails()).hasSize(3);
        exchange(ranks, 20, 2_000_000, 5);
      }
    }
  }

  @Test
  void memoryOverTheBudgetIsCopied() {
    long budget = 8 << 20;
    try (TransportHarness ranks =
        open(new OfiTcpProvider(), new FabricOptions(1, 4096, 65_536, false, true, budget))) {
      Pair link = ranks.link(0, 1, WORLD);
      Registration source = ranks.random(0, 10_000_000, 1);
      Registration target = ranks.zeros(0, 10_000_000);
      Transfer sending = send(source, WORLD, 0);
      Transfer receiving = receive(target, WORLD, 0);
      ranks.post(link.receiver(), receiving);
      ranks.post(link.sender(), sending);
      ranks.await(sending, receiving);
      assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
      for (int rank = 0; rank < 2; rank++) {
        assertThat(cache(ranks, rank).registeredBytes()).isBetween(1L, budget);
      }
    }
  }

  @Test
  void whatLiesIdleMakesRoomInTheBudget() {
    try (TransportHarness ranks =
        open(new OfiTcpProvider(), new FabricOptions(1, 4096, 65_536, false, true, 4 << 20))) {
      Pair link = ranks.link(0, 1, WORLD);
      for (int i = 0; i < 6; i++) {
        Transfer sending = send(ranks.random(0, 1_500_000, i), WORLD, i);
        Transfer receiving = receive(ranks.zeros(0, 1_500_000), WORLD, i);
        ranks.post(link.receiver(), receiving);
        ranks.post(link.sender(), sending);
        ranks.await(sending, receiving);
        assertThat(cache(ranks, 0).registeredBytes()).isBetween(1_500_000L, 4L << 20);
        assertThat(cache(ranks, 1).registeredBytes()).isBetween(1_500_000L, 4L << 20);
      }
    }
  }

  private static RegionCache cache(TransportHarness ranks, int rank) {
    return ((FabricTransport) ranks.transport(rank)).engine().cache();
  }

  @Test
  void closedMemoryIsLetGoWhenNothingOfItIsOut() {
    try (TransportHarness ranks = open(new OfiTcpProvider(), USUAL);
        MemoryPool pool = MemoryPool.root("mine", 1 << 22)) {
      Pair link = ranks.link(0, 1, WORLD);
      Buffer source = HostMemory.allocate(pool, "source", 1_000_000);
      Buffer target = HostMemory.allocate(pool, "target", 1_000_000);
      Transfer sending = send(source.registration(), WORLD, 0);
      Transfer receiving = receive(target.registration(), WORLD, 0);
      ranks.post(link.receiver(), receiving);
      ranks.post(link.sender(), sending);
      ranks.await(sending, receiving);
      source.close();
      target.close();
      ranks.until(() -> pool.usedBytes() == 0);
    }
  }

  @Test
  void memoryThatAPeerMayWriteIsQuarantinedUntilThePeerHasSeenTheEnd() {
    try (TransportHarness ranks = open(new OfiTcpProvider(), USUAL);
        MemoryPool pool = MemoryPool.root("mine", 1 << 26)) {
      Pair link = ranks.link(0, 1, WORLD);
      Buffer target = HostMemory.allocate(pool, "target", 50_000_000);
      Transfer sending = send(ranks.random(0, 50_000_000, 1), WORLD, 0);
      Transfer receiving = receive(target.registration(), WORLD, 0);
      ranks.post(link.receiver(), receiving);
      ranks.post(link.sender(), sending);
      ranks.until(() -> sending.progress > 0);
      assertThat(receiving.isDone()).isFalse();
      Engine sender = ((FabricTransport) ranks.transport(0)).engine();
      sender.hold(); // it can say nothing meanwhile
      try {
        link.receiver().close();
        target.close();
        assertThat(receiving.failure()).isInstanceOf(LockstepException.class);
        assertThat(pool.usedBytes()).isEqualTo(50_000_000);
      } finally {
        sender.letGo();
      }
      assertThat(ranks.failure(sending)).isInstanceOf(TransportException.class);
      ranks.until(() -> pool.usedBytes() == 0);
    }
  }

  /// A provider may find that a peer is gone while its last messages wait to be read.
  @Test
  void whatHasArrivedIsDeliveredBeforeALossIsReported() {
    int[] bytes = {100_000, 1000, 20_000};
    try (TransportHarness ranks = open(new OfiTcpProvider(), USUAL)) {
      Pair link = ranks.link(0, 1, WORLD);
      Engine engine = ((FabricTransport) ranks.transport(1)).engine();
      Transfer[] receiving = new Transfer[bytes.length];
      Registration[] sources = new Registration[bytes.length];
      for (int i = 0; i < bytes.length; i++) {
        sources[i] = ranks.random(0, bytes[i], i);
        receiving[i] = receive(ranks.zeros(0, bytes[i]), WORLD, i);
      }
      ranks.post(link.receiver(), receiving[0]); // the long message is asked for
      for (int i = 0; i < bytes.length; i++) {
        ranks.post(link.sender(), send(sources[i], WORLD, i));
      }
      // The stream of frames is behind the segments: when both are here, so is everything.
      Deadline.until(
          () -> {
            ranks.transport(0).poll();
            engine.hold();
            engine.progress();
            engine.letGo();
            return ((ReceiveLink) link.receiver()).unreadFrames() >= 2;
          });
      assertThat(receiving[0].isDone()).isFalse();
      var cause = new TransportException("rank 0", "connection is broken", null);
      engine.hold();
      engine.peers().lost(0, cause);
      engine.letGo();
      for (int i = 0; i < bytes.length; i++) {
        if (i > 0) {
          ranks.post(link.receiver(), receiving[i]);
        }
        ranks.await(receiving[i]);
        MemorySegment arrived = receiving[i].sink().target().segment();
        assertThat(arrived.mismatch(sources[i].segment())).as("message %d", i).isEqualTo(-1);
      }
      Transfer next = receive(ranks.zeros(0, 1000), WORLD, bytes.length);
      ranks.post(link.receiver(), next);
      assertThat(ranks.failure(next)).isSameAs(cause);
      Transfer later = receive(ranks.zeros(0, 1000), WORLD, bytes.length + 1);
      assertThat(link.receiver().post(later)).isEqualTo(Link.CLOSED);
    }
  }

  /// Where both ends post at once the grant is on its way: telling the receiver what waits for it
  /// would cost a frame for nothing.
  @Test
  void longMessageIsAnnouncedOnlyWhenNobodyAsksForItForAWhile() {
    try (TransportHarness ranks = open(new OfiTcpProvider(), USUAL)) {
      Pair link = ranks.link(0, 1, WORLD);
      ReceiveLink receiver = (ReceiveLink) link.receiver();
      ranks.until(receiver::isGreeted);
      ranks.post(link.sender(), send(ranks.random(0, 1_000_000, 1), WORLD, 0));
      for (int turn = 0; turn < 20; turn++) {
        ranks.poll();
      }
      assertThat(receiver.unreadFrames()).isZero();
      ranks.until(() -> receiver.unreadFrames() == 1);
    }
  }

  /// Whoever cannot be asked for a long message says so at once: there is no completion to wait
  /// for.
  @Test
  void peerThatCannotBeAskedFailsWhatIsPostedAndHoldsNoMemory() {
    AtomicBoolean refuses = new AtomicBoolean();
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(2, directory)) {
      transports.add(
          new OfiTcpProvider()
              .open(context, USUAL, library -> new RefusingLibfabric(library, refuses)));
    }
    try (TransportHarness ranks = new TransportHarness(transports);
        MemoryPool pool = MemoryPool.root("mine", 1 << 22)) {
      Pair link = ranks.link(0, 1, WORLD);
      ranks.until(((ReceiveLink) link.receiver())::isGreeted);
      Buffer target = HostMemory.allocate(pool, "target", 1_000_000);
      Transfer receiving = receive(target.registration(), WORLD, 0);
      refuses.set(true);
      assertThat(link.receiver().post(receiving)).isEqualTo(Link.ACCEPTED);
      assertThat(ranks.failure(receiving))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("endpoint=rank 0, status=-107");
      Transfer later = receive(target.registration(), WORLD, 1);
      assertThat(link.receiver().post(later)).isEqualTo(Link.CLOSED);
      target.close();
      ranks.until(() -> pool.usedBytes() == 0);
    }
  }

  /// Refuses to send anything, once it is told to, as to a peer that is not connected.
  private static final class RefusingLibfabric extends ForwardingLibfabric {
    private static final long NOT_CONNECTED = -107;
    private final AtomicBoolean refuses;

    RefusingLibfabric(Libfabric library, AtomicBoolean refuses) {
      super(library);
      this.refuses = refuses;
    }

    @Override
    public long send(
        EndpointCalls endpoint,
        long buffer,
        long bytes,
        long descriptor,
        long destination,
        long context) {
      return refuses.get()
          ? NOT_CONNECTED
          : super.send(endpoint, buffer, bytes, descriptor, destination, context);
    }

    @Override
    public long inject(EndpointCalls endpoint, long buffer, long bytes, long destination) {
      return refuses.get() ? NOT_CONNECTED : super.inject(endpoint, buffer, bytes, destination);
    }
  }

  /// A rank that closes hears out those that were about to greet it.
  @Test
  @Tag("long")
  void whoGreetsARankThatClosesHearsItsFarewell() throws InterruptedException {
    try (TransportHarness ranks = open(new OfiTcpProvider(), USUAL)) {
      Link receiver = ranks.transport(1).openReceive(0, WORLD, Duration.ofSeconds(5));
      Engine sender = ((FabricTransport) ranks.transport(0)).engine();
      Thread closing = Thread.ofPlatform().daemon().start(ranks.transport(1)::close);
      Link link = ranks.transport(0).openSend(1, WORLD, Duration.ofSeconds(5));
      Transfer sending = send(ranks.random(0, 100_000, 1), WORLD, 0);
      var _ = link.post(sending);
      assertThat(ranks.failure(sending)).hasMessageContaining("closed");
      ranks.until(() -> sender.peers().peer(1).left);
      closing.join();
      assertThat(receiver.post(receive(ranks.zeros(0, 4), WORLD, 0))).isEqualTo(Link.CLOSED);
    }
  }

  @Test
  @Tag("long")
  void keepingTheWireGoingAllocatesNothing() {
    var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    try (TransportHarness ranks = open(new OfiTcpProvider(), USUAL)) {
      Pair link = ranks.link(0, 1, WORLD);
      Transfer waiting = receive(ranks.zeros(0, 1_000_000), WORLD, 0);
      ranks.post(link.receiver(), waiting); // so that its peer is asked
      Engine asking = ((FabricTransport) ranks.transport(1)).engine();
      long allocated = Long.MAX_VALUE;
      for (int round = 0; round < 50 && allocated != 0; round++) {
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int turn = 0; turn < 2000; turn++) {
          ranks.transport(0).poll();
          asking.hold();
          asking.progress();
          asking.cache().sweep();
          asking.peers().ask(Integer.MAX_VALUE);
          asking.letGo();
        }
        allocated = threads.getCurrentThreadAllocatedBytes() - before;
      }
      assertThat(allocated).as("bytes allocated by 2000 turns").isZero();
      assertThat(waiting.state()).isEqualTo(Transfer.State.POSTED);
    }
  }

  @Test
  void providersAreNamedAsUsersWriteThem() {
    assertThat(
            Stream.of(
                    new EfaProvider(),
                    new OfiTcpProvider(),
                    new OfiShmProvider(),
                    new OfiUdpProvider(),
                    new OfiNetProvider())
                .map(FabricProvider::name))
        .containsExactly("efa", "ofi:tcp", "ofi:shm", "ofi:udp", "ofi:net");
    assertThat(FabricKind.NET.providerIn(1 << 16 | 17)).isEqualTo("net");
    assertThat(FabricKind.NET.providerIn(1 << 16 | 22)).isEqualTo("tcp");
    assertThat(FabricKind.NET.providerIn(2 << 16 | 6)).isEqualTo("tcp");
    assertThat(FabricKind.TCP.providerIn(1 << 16 | 17)).isEqualTo("net");
    assertThat(FabricKind.TCP.providerIn(2 << 16 | 6)).isEqualTo("tcp");
  }
}
