package dev.lockstep.transport.efa;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.transport.MismatchedEnvelopeException;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportHarness;
import dev.lockstep.transport.TransportHarness.Pair;
import dev.lockstep.transport.efa.ffi.EndpointCalls;
import dev.lockstep.transport.efa.ffi.Libfabric;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// A wire on which words get lost that their sender has been told as sent: nobody waits for good.
@Timeout(30)
final class LostWordsTest {
  private static final int WORLD = 1;
  private static final int LARGE = 40_000;

  /// More small messages than a receiver has room for.
  private static final int MANY = 3 * FabricLink.WINDOW;

  /// Farewells that are lost until a receiver that repeats them without being asked, each time
  /// after twice as long, is too late: the ninth goes after 51 s.
  private static final int MORE_THAN_REPEATS = 8;

  @TempDir private Path directory;

  /// What gets lost, and how many of them on each rank.
  private volatile Set<Integer> kinds = Set.of();

  private volatile int most = Integer.MAX_VALUE;

  /// How many have, on all ranks.
  private final AtomicInteger lost = new AtomicInteger();

  @BeforeEach
  void libfabricIsThere() {
    LibfabricJudge.require(new OfiTcpProvider());
  }

  private TransportHarness open() {
    return new TransportHarness(
        TransportHarness.contexts(2, directory).stream()
            .map(
                context ->
                    new OfiTcpProvider()
                        .open(context, FabricOptions.defaults(), LosingLibfabric::new))
            .toList());
  }

  @Test
  void lostGrantsBreakTheLinkOnBothRanks() {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(0, 1, WORLD);
      kinds = Set.of(Wire.GRANT);
      Transfer receiving = receive(ranks.zeros(0, LARGE), WORLD, 0);
      Transfer sending = send(ranks.random(0, LARGE, 1), WORLD, 0);
      ranks.post(link.receiver(), receiving);
      ranks.post(link.sender(), sending);
      assertThat(ranks.failure(sending))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("grants of a peer are lost: saidGrants=1, takenGrants=0")
          .hasMessageContaining("to=1");
      assertThat(ranks.failure(receiving))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("from=0");
    }
  }

  @Test
  void aGreetingLostWithWhatFollowsItBreaksTheLinkOfItsReceiver() {
    try (TransportHarness ranks = open()) {
      kinds = Set.of(Wire.HELLO, Wire.FIRST);
      most = 2;
      Pair link = ranks.link(0, 1, WORLD);
      Transfer sending = send(ranks.random(0, 100, 1), WORLD, 0);
      ranks.post(link.sender(), sending);
      ranks.await(sending);
      Transfer receiving = receive(ranks.zeros(0, 100), WORLD, 0);
      ranks.post(link.receiver(), receiving);
      assertThat(ranks.failure(receiving))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("what a peer has sent is lost: sentFrames=1, takenFrames=0");
    }
  }

  @Test
  void aGreetingLostWithAFarewellIsSaidAgain() {
    try (TransportHarness ranks = open()) {
      kinds = Set.of(Wire.HELLO, Wire.CLOSE);
      most = 2;
      Pair link = ranks.link(0, 1, WORLD);
      link.sender().close();
      Transfer receiving = receive(ranks.zeros(0, 100), WORLD, 0);
      ranks.post(link.receiver(), receiving);
      assertThat(ranks.failure(receiving)).hasMessageContaining("link was closed by its sender");
    }
  }

  @Test
  void lostFramesBreakTheLinkOfAReceiverThatComesLater() {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(0, 1, WORLD);
      kinds = Set.of(Wire.FIRST);
      most = 1;
      for (int message = 0; message < 2; message++) {
        ranks.post(link.sender(), send(ranks.random(0, 100, message), WORLD, message));
      }
      Transfer receiving = receive(ranks.zeros(0, 100), WORLD, 0);
      ranks.post(link.receiver(), receiving);
      assertThat(ranks.failure(receiving))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("what a peer has sent is lost: sentFrames=2, takenFrames=0")
          .hasMessageContaining("from=0");
    }
  }

  /// Nobody is there any more who could be asked.
  @Test
  void framesLostOfASenderThatHasClosedItsTransportAreNotWaitedFor() {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(0, 1, WORLD);
      kinds = Set.of(Wire.FIRST);
      most = 1;
      Transfer sending = send(ranks.random(0, 100, 0), WORLD, 0);
      ranks.post(link.sender(), sending);
      ranks.await(sending);
      ranks.transport(0).close();
      Transfer receiving = receive(ranks.zeros(0, 100), WORLD, 0);
      ranks.post(link.receiver(), receiving);
      assertThat(ranks.failure(receiving))
          .isInstanceOf(TransportException.class)
          .hasMessageContaining(
              "peer has closed its transport, and what is waited for has not come")
          .hasMessageContaining("takenFrames=0")
          .hasMessageContaining("from=0");
    }
  }

  @Test
  void lostCreditsAreSaidAgain() {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(0, 1, WORLD);
      kinds = Set.of(Wire.CREDIT);
      for (int message = 0; message < MANY; message++) {
        ranks.deliver(link, WORLD, message, 100);
      }
    }
  }

  @Test
  void aReceiversLostFarewellIsSaidAgain() {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(0, 1, WORLD);
      ranks.deliver(link, WORLD, 0, 100);
      kinds = Set.of(Wire.GONE);
      most = MORE_THAN_REPEATS;
      link.receiver().close();
      Transfer sending = send(ranks.random(0, LARGE, 1), WORLD, 1);
      ranks.post(link.sender(), sending);
      assertThat(ranks.failure(sending)).hasMessageContaining("link was closed by its receiver");
    }
  }

  @Test
  void aSendersLostFarewellIsSaidAgain() {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(0, 1, WORLD);
      Transfer receiving = receive(ranks.zeros(0, 100), WORLD, 0);
      ranks.post(link.receiver(), receiving);
      ranks.until(((ReceiveLink) link.receiver())::isGreeted);
      kinds = Set.of(Wire.CLOSE);
      most = 1;
      link.sender().close();
      assertThat(ranks.failure(receiving)).hasMessageContaining("link was closed by its sender");
    }
  }

  /// It would stay lent for as long as the transport is open.
  @Test
  void memoryComesBackThoughAFarewellIsLost() {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(0, 1, WORLD);
      ReceiveLink receiver = (ReceiveLink) link.receiver();
      Buffer lent = ranks.buffer(LARGE);
      ranks.post(receiver, receive(lent.registration(), WORLD, 0));
      ranks.until(((SendLink) link.sender())::holdsGrant);
      Engine engine = ((FabricTransport) ranks.transport(1)).engine();
      int regions = engine.cache().size();
      kinds = Set.of(Wire.GONE);
      most = 1;
      receiver.abandon();
      link.sender().close();
      lent.close();
      ranks.until(() -> engine.cache().size() < regions);
      assertThat(engine.links().receivers().get(receiver.number())).isNull();
    }
  }

  /// Its sender has answered, is closed and knows the link no more.
  @ParameterizedTest(name = "of a refusal: {0}")
  @ValueSource(booleans = {false, true})
  void memoryComesBackThoughTheAnswerToAFarewellIsLost(boolean refused) {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(0, 1, WORLD);
      ReceiveLink receiver = (ReceiveLink) link.receiver();
      SendLink sender = (SendLink) link.sender();
      if (refused) {
        ranks.post(receiver, receive(ranks.zeros(0, 100), WORLD, 5));
      }
      ranks.post(receiver, receive(ranks.zeros(0, LARGE), WORLD, 6));
      ranks.until(sender::holdsGrant);
      kinds = Set.of(Wire.GONE_SEEN);
      most = 1;
      if (refused) {
        ranks.post(sender, send(ranks.random(0, 100, 1), WORLD, 0));
      } else {
        receiver.close();
      }
      ranks.until(() -> lost.get() == most);
      sender.close();
      receiver.close();
      assertThat(
              ((FabricTransport) ranks.transport(0))
                  .engine()
                  .links()
                  .senders()
                  .get(sender.number()))
          .isNull();
      Links links = ((FabricTransport) ranks.transport(1)).engine().links();
      ranks.until(() -> links.receivers().get(receiver.number()) == null);
    }
  }

  @ParameterizedTest(name = "lost {0} times")
  @ValueSource(ints = {1, 4})
  void aLostRefusalIsSaidAgain(int times) {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(0, 1, WORLD);
      kinds = Set.of(Wire.REFUSE);
      most = times;
      ranks.post(link.receiver(), receive(ranks.zeros(0, 100), WORLD, 5));
      Transfer waiting = send(ranks.random(0, LARGE, 2), WORLD, 1);
      ranks.post(link.sender(), send(ranks.random(0, 100, 1), WORLD, 0));
      ranks.post(link.sender(), waiting);
      assertThat(ranks.failure(waiting)).isInstanceOf(MismatchedEnvelopeException.class);
    }
  }

  @Test
  void aLostDisputeIsSaidAgain() {
    try (TransportHarness ranks = open()) {
      Pair link = ranks.link(0, 1, WORLD);
      kinds = Set.of(Wire.DISPUTE);
      most = 1;
      Transfer receiving = receive(ranks.zeros(0, LARGE), WORLD, 0);
      ranks.post(link.receiver(), receiving);
      ranks.until(((SendLink) link.sender())::holdsGrant);
      ranks.post(link.sender(), send(ranks.random(0, LARGE, 1), WORLD, 5));
      assertThat(ranks.failure(receiving)).isInstanceOf(MismatchedEnvelopeException.class);
    }
  }

  /// Makes words such as another job's, which nobody hears.
  private final class LosingLibfabric extends ForwardingLibfabric {
    /// What the provider may still read.
    private final List<MemorySegment> strange = new ArrayList<>();

    private int taken;

    LosingLibfabric(Libfabric library) {
      super(library);
    }

    private long taken(long buffer, long bytes) {
      MemorySegment frame = library.memory(buffer, bytes);
      if (!kinds.contains(Wire.kind(frame, 0)) || taken >= most) {
        return buffer;
      }
      MemorySegment copy = Arena.ofAuto().allocate(bytes, 64);
      copy.copyFrom(frame);
      copy.set(Wire.LONG, 8, ~TransportHarness.JOB);
      Wire.seal(copy, 0, new CRC32C(), copy.asByteBuffer());
      strange.add(copy);
      return copy.address();
    }

    /// What is refused is sent again, and lost then.
    private long told(long status, long buffer, long from) {
      if (status == 0 && from != buffer) {
        taken++;
        lost.incrementAndGet();
      }
      return status;
    }

    @Override
    public long send(
        EndpointCalls endpoint,
        long buffer,
        long bytes,
        long descriptor,
        long destination,
        long context) {
      long from = taken(buffer, bytes);
      return told(
          super.send(endpoint, from, bytes, descriptor, destination, context), buffer, from);
    }

    @Override
    public long inject(EndpointCalls endpoint, long buffer, long bytes, long destination) {
      long from = taken(buffer, bytes);
      return told(super.inject(endpoint, from, bytes, destination), buffer, from);
    }
  }
}
