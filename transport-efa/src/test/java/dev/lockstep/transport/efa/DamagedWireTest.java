package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.send;
import static dev.lockstep.transport.TransportHarness.stamped;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.TransportException;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.Sink;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.Transport;
import dev.lockstep.transport.TransportContext;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.LongPredicate;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// A bit that flips on the wire under a provider is seen and said at once, and never a part of what
/// anybody gets. Where the wire carries 4 bytes beside a segment, as EFA's device does, that is the
/// device's task.
@Timeout(60)
final class DamagedWireTest {
  private static final int WORLD = 1;

  /// One frame, one or two over shared memory, several over providers of packets, one segment, and
  /// several.
  private static final int[] SIZES = {100, 4096, 20_000, 40_000, 600_000};

  /// More than rank 0 sends in a test.
  private static final int EVENTS = 10;

  @TempDir private Path directory;

  private static List<FabricProvider> providers() {
    return List.of(new OfiTcpProvider(), new OfiShmProvider(), new OfiUdpProvider());
  }

  private TransportHarness open(
      FabricProvider provider, LongPredicate frames, LongPredicate segments) {
    LibfabricJudge.require(provider);
    List<Transport> transports = new ArrayList<>();
    for (TransportContext context : TransportHarness.contexts(2, directory)) {
      boolean damages = context.rank() == 0;
      transports.add(
          provider.open(
              context,
              FabricOptions.defaults(),
              library -> damages ? new DamagingLibfabric(library, frames, segments) : library));
    }
    return new TransportHarness(transports);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("providers")
  void whateverFrameIsDamagedNobodyWaitsAndNothingIsWrong(FabricProvider provider) {
    List<Throwable> failures = new ArrayList<>();
    for (int at = 0; at < EVENTS; at++) { // the first is a greeting
      int which = at;
      try (TransportHarness ranks = open(provider, frame -> frame == which, _ -> false)) {
        failures.addAll(exchange(ranks));
      }
    }
    assertThat(failures)
        .allSatisfy(failure -> assertThat(failure).isInstanceOf(TransportException.class))
        .filteredOn(failure -> String.valueOf(failure.getMessage()).startsWith("frame arrived"))
        .hasSizeGreaterThan(2);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("providers")
  void whoseGreetingWasDamagedIsToldThoughItsReceiverDidNotKnowIt(FabricProvider provider) {
    try (TransportHarness ranks = open(provider, frame -> frame == 0, _ -> false)) {
      Pair link = ranks.link(0, 1, WORLD);
      Transfer sending = send(ranks.random(0, 600_000, 1), WORLD, 0);
      Transfer receiving = TransportHarness.receive(ranks.zeros(0, 600_000), WORLD, 0);
      post(ranks, link.receiver(), receiving);
      post(ranks, link.sender(), sending);
      assertThat(ranks.failure(receiving)).hasMessageStartingWith("frame arrived damaged");
      assertThat(ranks.failure(sending)).hasMessageStartingWith("link was closed by its receiver");
    }
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("providers")
  void whateverSegmentIsDamagedNobodyWaitsAndNothingIsWrong(FabricProvider provider) {
    for (int at = 0; at < 4; at++) {
      int which = at;
      try (TransportHarness ranks = open(provider, _ -> false, segment -> segment == which)) {
        assertThat(exchange(ranks))
            .allSatisfy(failure -> assertThat(failure).isInstanceOf(TransportException.class))
            .anySatisfy(
                failure -> assertThat(failure).hasMessageContaining("segment arrived damaged"));
      }
    }
  }

  /// Posts messages both ways, to be stored and to be added to ones, and waits until each has
  /// ended. What has arrived is right, and of what has not no wrong number has been added.
  ///
  /// @return the failures
  private static List<Throwable> exchange(TransportHarness ranks) {
    Pair there = ranks.link(0, 1, WORLD);
    Pair back = ranks.link(1, 0, WORLD);
    List<Transfer> all = new ArrayList<>();
    List<Transfer> received = new ArrayList<>();
    List<Registration> sources = new ArrayList<>();
    for (int i = 0; i < 2 * SIZES.length; i++) {
      int bytes = SIZES[i / 2];
      for (Pair link : List.of(there, back)) {
        Registration source = ranks.random(0, bytes, i);
        Registration target = ranks.zeros(0, bytes);
        target.segment().fill((byte) 1);
        Sink sink =
            i % 2 == 0
                ? new Sink.Reduce(target, DType.I32, new ReduceOp.Sum())
                : new Sink.Copy(target);
        Transfer receiving = stamped(Transfer.receive(sink), WORLD, i);
        Transfer sending = send(source, WORLD, i);
        post(ranks, link.receiver(), receiving);
        post(ranks, link.sender(), sending);
        sources.add(source);
        received.add(receiving);
        all.addAll(List.of(sending, receiving));
      }
    }
    all.forEach(transfer -> ranks.until(() -> transfer.state() != Transfer.State.POSTED));
    for (int i = 0; i < received.size(); i++) {
      requireRight(received.get(i), sources.get(i));
    }
    List<Throwable> failures = new ArrayList<>();
    for (Transfer transfer : all) {
      if (transfer.failure() != null) {
        failures.add(transfer.failure());
      }
    }
    return failures;
  }

  /// Posts to a link that may have failed.
  private static void post(TransportHarness ranks, Link link, Transfer transfer) {
    ranks.until(() -> link.post(transfer) != Link.BACK_PRESSURED);
  }

  private static void requireRight(Transfer receiving, Registration source) {
    Registration target = receiving.sink().target();
    boolean adds = receiving.sink() instanceof Sink.Reduce;
    for (long i = 0; i < source.bytes() / Integer.BYTES; i++) {
      int before = 0x01010101;
      int sent = source.segment().getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i);
      int found = target.segment().getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, i);
      int wanted = adds ? before + sent : sent;
      boolean untouched = !receiving.isDone() && found == before;
      boolean notAResult = !receiving.isDone() && !adds; // in place, as its failure says
      if (found != wanted && !untouched && !notAResult) {
        assertThat(found).as("element %d of %d bytes", i, source.bytes()).isEqualTo(wanted);
      }
    }
  }
}
