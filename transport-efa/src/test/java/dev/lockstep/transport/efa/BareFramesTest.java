package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.MismatchedEnvelopeException;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Over shared memory a page of payload goes as one command, without header and envelope, which its
/// receiver knows if it is what it expects.
@Timeout(30)
final class BareFramesTest {
  private static final int WORLD = 1;
  private static final int PAGE = 4096;

  @TempDir private Path directory;

  private final AtomicInteger commands = new AtomicInteger();
  private final AtomicInteger pages = new AtomicInteger();

  @BeforeEach
  void libfabricIsThere() {
    LibfabricJudge.require(new OfiShmProvider());
  }

  /// @param sending makes the sender's library
  private TransportHarness open(UnaryOperator<Libfabric> sending) {
    return open(sending, UnaryOperator.identity());
  }

  private TransportHarness open(UnaryOperator<Libfabric> sending, UnaryOperator<Libfabric> other) {
    return new TransportHarness(
        TransportHarness.contexts(2, directory).stream()
            .map(
                context ->
                    new OfiShmProvider()
                        .open(
                            context,
                            FabricOptions.defaults(),
                            library -> (context.rank() == 0 ? sending : other).apply(library)))
            .toList());
  }

  @ParameterizedTest(name = "{0} bytes")
  @CsvSource({"64, 0", "3968, 0", "3972, 1", "4096, 1", "4100, 2", "8192, 2", "16384, 4"})
  void messagesTakeACommandForEachPage(int bytes, int bare) {
    try (TransportHarness ranks = open(CountingLibfabric::new)) {
      Pair link = ranks.link(0, 1, WORLD);
      ranks.deliver(link, WORLD, 0, 64);
      int before = commands.get();
      ranks.deliver(link, WORLD, 1, bytes);
      assertThat(pages.get()).isEqualTo(bare);
      assertThat(commands.get() - before).isEqualTo(Math.max(1, bare));
    }
  }

  @Test
  void whatComesBeforeItIsExpectedWaits() {
    try (TransportHarness ranks = open(CountingLibfabric::new)) {
      Pair link = ranks.link(0, 1, WORLD);
      List<Registration> sources = new ArrayList<>();
      int[] sizes = {PAGE, 64, 3 * PAGE, PAGE};
      for (int message = 0; message < sizes.length; message++) {
        sources.add(ranks.random(0, sizes[message], message));
        Transfer sending = send(sources.get(message), WORLD, message);
        ranks.post(link.sender(), sending);
        ranks.await(sending);
      }
      assertThat(pages.get()).isEqualTo(5);
      ranks.until(() -> ((ReceiveLink) link.receiver()).unreadFrames() == 6);
      for (int message = 0; message < sizes.length; message++) {
        Registration target = ranks.zeros(0, sizes[message]);
        Transfer receiving = receive(target, WORLD, message);
        ranks.post(link.receiver(), receiving);
        ranks.await(receiving);
        assertThat(target.segment().mismatch(sources.get(message).segment())).isEqualTo(-1);
      }
    }
  }

  /// Whether it is expected bare, with its header, or asked for.
  @ParameterizedTest(name = "{0} bytes expected")
  @ValueSource(ints = {PAGE, 100, 2 * PAGE, 1_000_000})
  void anotherMessageThanExpectedIsSaidOnBothRanks(int expected) {
    try (TransportHarness ranks = open(CountingLibfabric::new)) {
      Pair link = ranks.link(0, 1, WORLD);
      Transfer receiving = receive(ranks.zeros(0, expected), WORLD, 5);
      ranks.post(link.receiver(), receiving);
      ranks.post(link.sender(), send(ranks.random(0, PAGE, 1), WORLD, 3));
      assertThat(ranks.failure(receiving))
          .isInstanceOf(MismatchedEnvelopeException.class)
          .hasMessageContaining("rank=1, peer=0, expectedSequence=5, arrivedSequence=3")
          .hasMessageContaining("expectedBytes=%d, arrivedBytes=%d".formatted(expected, PAGE));
      Transfer next = send(ranks.random(0, 1_000_000, 2), WORLD, 4);
      var _ = link.sender().post(next);
      assertThat(ranks.failure(next))
          .isInstanceOf(MismatchedEnvelopeException.class)
          .hasMessageContaining("rank=0, peer=1, expectedSequence=3, arrivedSequence=5");
      assertThat(pages.get()).isEqualTo(1);
    }
  }

  /// The first, and one behind it.
  @ParameterizedTest(name = "page {0}")
  @ValueSource(ints = {0, 2})
  void whatIsDamagedIsSaidOnBothRanksAndNeverStored(int page) {
    AtomicInteger before = new AtomicInteger(Integer.MAX_VALUE / 2);
    try (TransportHarness ranks =
        open(
            library ->
                new DamagingLibfabric(
                    library, frame -> frame == (long) before.get() + page, _ -> false))) {
      Pair link = ranks.link(0, 1, WORLD);
      ranks.deliver(link, WORLD, 0, 64);
      before.set(2); // a greeting and that message
      Registration target = ranks.zeros(0, 3 * PAGE);
      Transfer receiving = receive(target, WORLD, 1);
      ranks.post(link.receiver(), receiving);
      ranks.post(link.sender(), send(ranks.random(0, 3 * PAGE, 1), WORLD, 1));
      assertThat(ranks.failure(receiving))
          .isInstanceOf(TransportException.class)
          .hasMessageStartingWith("frame arrived damaged")
          .hasMessageContaining("from=0");
      long rest = (long) page * PAGE;
      assertThat(target.segment().asSlice(rest).toArray(ValueLayout.JAVA_BYTE)).containsOnly(0);
      Transfer next = send(ranks.random(0, 1_000_000, 2), WORLD, 2);
      var _ = link.sender().post(next);
      assertThat(ranks.failure(next)).hasMessageStartingWith("link was closed by its receiver");
    }
  }

  @Test
  void whatASenderThatHasLeftMeantIsNotWaitedFor() {
    try (TransportHarness ranks = open(CountingLibfabric::new)) {
      Pair link = ranks.link(0, 1, WORLD);
      leaveBehind(ranks, link, send(ranks.random(0, PAGE, 1), WORLD, 3));
      Transfer receiving = receive(ranks.zeros(0, PAGE), WORLD, 5);
      ranks.post(link.receiver(), receiving);
      assertThat(ranks.failure(receiving))
          .isInstanceOf(TransportException.class)
          .hasMessageStartingWith("message is not the expected one or has arrived damaged")
          .hasMessageContaining("expectedSequence=5, expectedBytes=4096")
          .hasMessageContaining("from=0");
    }
  }

  @Test
  void aWholeMessageOfASenderThatHasLeftIsReceived() {
    try (TransportHarness ranks = open(CountingLibfabric::new)) {
      Pair link = ranks.link(0, 1, WORLD);
      Registration source = ranks.random(0, 2 * PAGE, 1);
      leaveBehind(ranks, link, send(source, WORLD, 5));
      Registration target = ranks.zeros(0, 2 * PAGE);
      Transfer receiving = receive(target, WORLD, 5);
      ranks.post(link.receiver(), receiving);
      ranks.await(receiving);
      assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
    }
  }

  /// Sends a message that nobody waits for yet, and closes its sender's transport.
  private static void leaveBehind(TransportHarness ranks, Pair link, Transfer sending) {
    ranks.post(link.sender(), sending);
    ranks.await(sending);
    ranks.transport(0).close();
  }

  @ParameterizedTest(name = "kind {0}")
  @ValueSource(ints = {Wire.DOUBT, Wire.MEANT})
  void whatWasMeantIsAskedAgainIfTheQuestionOrItsAnswerIsLost(int kind) {
    UnaryOperator<Libfabric> losing = library -> new LosingLibfabric(library, kind);
    try (TransportHarness ranks = open(losing, losing)) {
      Pair link = ranks.link(0, 1, WORLD);
      Transfer receiving = receive(ranks.zeros(0, PAGE), WORLD, 5);
      ranks.post(link.receiver(), receiving);
      ranks.post(link.sender(), send(ranks.random(0, PAGE, 1), WORLD, 3));
      assertThat(ranks.failure(receiving)).isInstanceOf(MismatchedEnvelopeException.class);
      assertThat(commands.get()).as("words that were lost").isEqualTo(1);
    }
  }

  /// Counts what goes in the streams of links.
  private final class CountingLibfabric extends ForwardingLibfabric {
    CountingLibfabric(Libfabric library) {
      super(library);
    }

    @Override
    public long inject(EndpointCalls endpoint, long buffer, long bytes, long destination) {
      long status = super.inject(endpoint, buffer, bytes, destination);
      int kind = Wire.kind(library.memory(buffer, bytes), 0);
      if (status == 0 && (kind == Wire.FIRST || kind == Wire.NEXT)) {
        commands.incrementAndGet();
      }
      return status;
    }

    @Override
    public long injectdata(
        EndpointCalls endpoint, long buffer, long bytes, long data, long destination) {
      long status = super.injectdata(endpoint, buffer, bytes, data, destination);
      if (status == 0) {
        commands.incrementAndGet();
        pages.incrementAndGet();
      }
      return status;
    }
  }

  /// Loses the first word of a kind.
  private final class LosingLibfabric extends ForwardingLibfabric {
    private final int kind;

    LosingLibfabric(Libfabric library, int kind) {
      super(library);
      this.kind = kind;
    }

    @Override
    public long inject(EndpointCalls endpoint, long buffer, long bytes, long destination) {
      boolean isLost =
          Wire.kind(library.memory(buffer, bytes), 0) == kind && commands.compareAndSet(0, 1);
      return isLost ? 0 : super.inject(endpoint, buffer, bytes, destination);
    }
  }
}
