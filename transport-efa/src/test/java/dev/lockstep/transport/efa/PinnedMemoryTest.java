package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import dev.lockstep.transport.efa.ffi.Fi;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// A system that keeps so much memory from being paged out and refuses what is more, whatever it
/// has said to allow.
@Timeout(30)
final class PinnedMemoryTest {
  private static final int WORLD = 1;
  private static final int SEGMENT_BYTES = 65_536;
  private static final long ANY = -1;

  @TempDir private Path directory;

  private final List<PinningLibfabric> libraries = new ArrayList<>();

  @BeforeEach
  void libfabricIsThere() {
    LibfabricJudge.require(new OfiTcpProvider());
  }

  private TransportHarness open(int rails, long budget, long allowed) {
    var options = new FabricOptions(rails, 4096, SEGMENT_BYTES, true, true, budget);
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(2, directory)) {
      transports.add(
          new OfiTcpProvider()
              .open(
                  context,
                  options,
                  library -> {
                    libraries.add(new PinningLibfabric(library, allowed));
                    return libraries.getLast();
                  }));
    }
    return new TransportHarness(transports);
  }

  private static RegionCache cache(TransportHarness ranks, int rank) {
    return ((FabricTransport) ranks.transport(rank)).engine().cache();
  }

  /// Sends a message from new memory to new memory.
  ///
  /// @return both
  private static List<Registration> exchange(
      TransportHarness ranks, Pair link, int bytes, int number) {
    Registration source = ranks.random(0, bytes, number);
    Registration target = ranks.zeros(0, bytes);
    Transfer sending = send(source, WORLD, number);
    Transfer receiving = receive(target, WORLD, number);
    ranks.post(link.receiver(), receiving);
    ranks.post(link.sender(), sending);
    ranks.await(sending, receiving);
    assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
    return List.of(source, target);
  }

  private static boolean isRegistered(TransportHarness ranks, int rank, Registration range) {
    Engine engine = ((FabricTransport) ranks.transport(rank)).engine();
    engine.hold();
    try {
      return engine.cache().of(range.region()).registered;
    } finally {
      engine.letGo();
    }
  }

  @Test
  void whatLiesIdleMakesRoomForWhatTheSystemRefuses() {
    try (TransportHarness ranks = open(2, ANY, 8 << 20)) {
      Pair link = ranks.link(0, 1, WORLD);
      for (int i = 0; i < 5; i++) {
        List<Registration> both = exchange(ranks, link, 1_500_000, i);
        assertThat(isRegistered(ranks, 0, both.getFirst())).as("message %d", i).isTrue();
        assertThat(isRegistered(ranks, 1, both.getLast())).as("message %d", i).isTrue();
      }
      assertThat(libraries).allSatisfy(library -> assertThat(library.refusals).hasPositiveValue());
    }
  }

  @Test
  void whatDoesNotFitAtAllIsAskedForOnceAndCopied() {
    try (TransportHarness ranks = open(1, ANY, 2 << 20)) {
      Pair link = ranks.link(0, 1, WORLD);
      for (int i = 0; i < 3; i++) {
        List<Registration> both = exchange(ranks, link, 3_000_000, i);
        assertThat(isRegistered(ranks, 0, both.getFirst())).isFalse();
        assertThat(isRegistered(ranks, 1, both.getLast())).isFalse();
      }
      assertThat(libraries).allSatisfy(library -> assertThat(library.refusals).hasValue(1));
    }
  }

  @Test
  void everyRailCountsTheSameMemoryAgain() {
    long budget = 8 << 20;
    try (TransportHarness ranks = open(2, budget, Long.MAX_VALUE)) {
      Pair link = ranks.link(0, 1, WORLD);
      exchange(ranks, link, 3_000_000, 0);
      exchange(ranks, link, 5_000_000, 1);
      assertThat(libraries)
          .allSatisfy(
              library -> assertThat(library.mostPinned.get()).isBetween(6_000_000L, budget));
    }
  }

  /// Not in the middle of a collective.
  @Test
  void linkWithoutRoomForItsSegmentsDoesNotOpen() {
    for (long allowed : new long[] {100_000, Long.MAX_VALUE}) {
      long budget = allowed == Long.MAX_VALUE ? 100_000 : 1 << 30;
      try (TransportHarness ranks = open(1, budget, allowed)) {
        Transport transport = ranks.transport(1);
        assertThatThrownBy(() -> transport.openReceive(0, WORLD, Duration.ofSeconds(5)))
            .isInstanceOf(TransportException.class)
            .hasMessageContaining(
                "too little memory can be registered for a link: neededBytes=" + 4 * SEGMENT_BYTES)
            .hasMessageContaining("ulimit -l unlimited");
        ranks.until(() -> cache(ranks, 1).size() == 0);
      }
    }
    assertThat(libraries).allSatisfy(library -> assertThat(library.pinned).hasValue(0));
  }

  /// Registers so many bytes at a time.
  private static final class PinningLibfabric extends ForwardingLibfabric {
    private final long allowed;
    private final Map<Long, Long> bytes = new HashMap<>();
    final AtomicLong pinned = new AtomicLong();
    final AtomicLong mostPinned = new AtomicLong();
    final AtomicInteger refusals = new AtomicInteger();

    PinningLibfabric(Libfabric library, long allowed) {
      super(library);
      this.allowed = allowed;
    }

    @Override
    public int mrReg(
        long domain, long buffer, long bytes, long access, long key, MemorySegment mr) {
      if (pinned.get() > allowed - bytes) {
        refusals.incrementAndGet();
        return -Fi.ENOMEM;
      }
      int status = super.mrReg(domain, buffer, bytes, access, key, mr);
      this.bytes.put(mr.get(JAVA_LONG, 0), bytes);
      mostPinned.accumulateAndGet(pinned.addAndGet(bytes), Math::max);
      return status;
    }

    @Override
    public int close(long object) {
      Long closed = bytes.remove(object);
      pinned.addAndGet(closed == null ? 0 : -closed);
      return super.close(object);
    }
  }
}
