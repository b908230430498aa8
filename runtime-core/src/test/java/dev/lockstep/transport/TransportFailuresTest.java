package dev.lockstep.transport;

import static dev.lockstep.transport.TransportHarness.nonZero;
import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.failure.LockstepException;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.TransportHarness.Pair;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// How links end and what refuses to go over them: the part of every transport's contract that is
/// about failures, which [TransportContractTest] hands on.
@Timeout(120)
public abstract class TransportFailuresTest {
  private static final int WORLD = 5;

  /// Opens the connected transports of a new job, one for each of `ranks` ranks on one host;
  /// closing the harness closes them.
  protected abstract TransportHarness open(int ranks);

  /// A change by which an envelope is another message's.
  private record Difference(String field, Consumer<Envelope> change) {}

  private static List<Difference> differences() {
    return List.of(
        new Difference("job", envelope -> envelope.job++),
        new Difference("epoch", envelope -> envelope.epoch++),
        new Difference("communicator", envelope -> envelope.communicator++),
        new Difference("sequence", envelope -> envelope.sequence++),
        new Difference("schedule", envelope -> envelope.schedule++),
        new Difference("step", envelope -> envelope.step++),
        new Difference("kind", envelope -> envelope.kind++),
        new Difference("dtype", envelope -> envelope.dtype++),
        new Difference("reduceOp", envelope -> envelope.reduceOp++),
        new Difference("root", envelope -> envelope.root++),
        new Difference("count", envelope -> envelope.count++));
  }

  /// Each message goes over a link of its own: a link that has failed stays closed.
  @Test
  void anotherMessageFailsTheReceiver() {
    try (TransportHarness ranks = open(2)) {
      int communicator = WORLD;
      for (Difference difference : differences()) {
        failByAnother(ranks, communicator++, difference);
      }
    }
  }

  private static void failByAnother(
      TransportHarness ranks, int communicator, Difference difference) {
    Pair link = ranks.link(0, 1, communicator);
    Transfer sending = send(ranks.random(0, 100, 1), communicator, 4);
    Registration target = ranks.zeros(0, 100);
    Transfer receiving = receive(target, communicator, 4);
    difference.change().accept(sending.envelope());
    ranks.post(link.sender(), sending);
    ranks.post(link.receiver(), receiving);
    assertThat(ranks.failure(receiving))
        .as("field=%s", difference.field())
        .isInstanceOfSatisfying(
            MismatchedEnvelopeException.class,
            mismatch -> {
              assertThat(mismatch.peer()).isZero();
              assertThat(mismatch.expected().matches(receiving.envelope())).isTrue();
              assertThat(mismatch.arrived().matches(sending.envelope())).isTrue();
            });
    assertThat(nonZero(target.segment())).as("bytes of another message").isFalse();
    Transfer later = receive(target, communicator, 5);
    assertThat(link.receiver().post(later)).isEqualTo(Link.CLOSED);
    assertThat(later.failure()).isInstanceOf(MismatchedEnvelopeException.class);
  }

  @Test
  void anotherLengthFailsTheReceiver() {
    long[][] lengths = {{100, 104}, {104, 100}, {0, 1}, {1, 0}, {2_000_000, 4}, {4, 2_000_000}};
    try (TransportHarness ranks = open(2)) {
      for (int i = 0; i < lengths.length; i++) {
        int communicator = WORLD + i;
        Pair link = ranks.link(0, 1, communicator);
        Registration source = ranks.random(0, lengths[i][0], 1);
        ranks.post(link.sender(), send(source, communicator, 0));
        Transfer receiving = receive(ranks.zeros(0, lengths[i][1]), communicator, 0);
        ranks.post(link.receiver(), receiving);
        assertThat(ranks.failure(receiving))
            .as("sent=%d, expected=%d", lengths[i][0], lengths[i][1])
            .isInstanceOf(MismatchedEnvelopeException.class);
      }
    }
  }

  @Test
  void closingAnEndFailsItsTransfers() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Transfer receiving = receive(ranks.zeros(0, 100), WORLD, 0);
      ranks.post(link.receiver(), receiving);
      link.receiver().close();
      link.receiver().close();
      assertThat(receiving.state()).isEqualTo(Transfer.State.FAILED);
      assertThat(receiving.failure()).isInstanceOf(LockstepException.class);
      Transfer later = receive(ranks.zeros(0, 100), WORLD, 1);
      assertThat(link.receiver().post(later)).isEqualTo(Link.CLOSED);
      assertThat(later.failure()).isNotNull();
      assertThat(link.receiver().poll()).isZero();
    }
  }

  @Test
  void anAbandonedEndTouchesNoMemoryAnyMore() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Registration target = ranks.zeros(0, 100);
      Transfer receiving = receive(target, WORLD, 0);
      ranks.post(link.receiver(), receiving);
      link.receiver().abandon();
      assertThat(receiving.failure()).isInstanceOf(LockstepException.class);
      var _ = link.sender().post(send(ranks.random(0, 100, 1), WORLD, 0));
      for (int times = 0; times < 100; times++) {
        ranks.poll();
      }
      assertThat(nonZero(target.segment())).isFalse();
      assertThat(link.receiver().post(receive(target, WORLD, 1))).isEqualTo(Link.CLOSED);
      link.receiver().abandon();
      link.receiver().close();
      link.receiver().abandon();
    }
  }

  /// The sender knows by then where it may write, and that the receiver is there.
  @Test
  void aSenderThatWasAskedForAMessageWritesNothingIntoAnAbandonedEnd() {
    int bytes = 1 << 20;
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Pair back = ranks.link(1, 0, WORLD);
      ranks.deliver(link, WORLD, 0, 100);
      Transfer sending = send(ranks.random(0, bytes, 1), WORLD, 1);
      Registration target = ranks.zeros(0, bytes);
      Transfer receiving = receive(target, WORLD, 1);
      ranks.post(link.receiver(), receiving);
      for (int turn = 0; turn < 3; turn++) {
        ranks.deliver(back, WORLD, turn, 100); // what was said before has come by then
      }
      link.receiver().abandon();
      assertThat(receiving.failure()).isInstanceOf(LockstepException.class);
      var _ = link.sender().post(sending); // before anybody has told it
      for (int turn = 3; turn < 6; turn++) {
        ranks.deliver(back, WORLD, turn, 100);
        var _ = link.sender().poll();
      }
      assertThat(nonZero(target.segment())).isFalse();
    }
  }

  @Test
  void closedReceiverFailsTheSender() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Transfer large = send(ranks.random(0, 50_000_000, 1), WORLD, 0);
      Transfer partly = receive(ranks.zeros(0, 50_000_000), WORLD, 0);
      ranks.post(link.sender(), large);
      ranks.post(link.receiver(), partly);
      ranks.poll();
      link.receiver().close();
      assertThat(partly.failure()).isInstanceOf(LockstepException.class);
      assertThat(ranks.failure(large)).isInstanceOf(LockstepException.class);
    }
  }

  @Test
  void closedSenderFailsTheReceiverAfterWhatWasSent() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Registration source = ranks.random(0, 1000, 1);
      Registration target = ranks.zeros(0, 1000);
      Transfer sent = send(source, WORLD, 0);
      Transfer first = receive(target, WORLD, 0);
      Transfer second = receive(ranks.zeros(0, 1000), WORLD, 1);
      ranks.post(link.sender(), sent);
      ranks.post(link.receiver(), first);
      ranks.post(link.receiver(), second);
      ranks.await(sent, first);
      assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
      link.sender().close();
      assertThat(ranks.failure(second)).isInstanceOf(LockstepException.class);
    }
  }

  /// Who leaves has said its last word only when what it sent before has been read.
  @ParameterizedTest(name = "closes its transport: {0}")
  @ValueSource(booleans = {false, true})
  void whatWasSentIsReadAfterItsSenderHasLeft(boolean closesTransport) {
    int messages = 3;
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      List<Registration> sources = new ArrayList<>();
      for (int i = 0; i < messages; i++) {
        sources.add(ranks.random(0, 1000 + i, i));
        Transfer sending = send(sources.getLast(), WORLD, i);
        ranks.post(link.sender(), sending);
        ranks.await(sending);
      }
      if (closesTransport) {
        Thread leaving = Thread.ofPlatform().daemon().start(ranks.transport(0)::close);
        ranks.until(() -> !leaving.isAlive());
      } else {
        link.sender().close();
      }
      for (int i = 0; i < messages; i++) {
        Registration target = ranks.zeros(0, 1000 + i);
        Transfer receiving = receive(target, WORLD, i);
        ranks.post(link.receiver(), receiving);
        ranks.await(receiving);
        assertThat(target.segment().mismatch(sources.get(i).segment())).isEqualTo(-1);
      }
      Transfer next = receive(ranks.zeros(0, 1000), WORLD, messages);
      if (link.receiver().post(next) == Link.ACCEPTED) {
        assertThat(ranks.failure(next)).isInstanceOf(LockstepException.class);
      }
    }
  }

  @Test
  void closingTheTransportFailsEverythingInFlight() {
    try (TransportHarness ranks = open(2)) {
      Pair there = ranks.link(0, 1, WORLD);
      Pair back = ranks.link(1, 0, WORLD);
      Transfer sending = send(ranks.random(0, 50_000_000, 1), WORLD, 0);
      Transfer receiving = receive(ranks.zeros(0, 100), WORLD, 0);
      ranks.post(there.sender(), sending);
      ranks.post(back.receiver(), receiving);
      ranks.transport(0).close();
      ranks.transport(0).close();
      assertThat(sending.failure()).isInstanceOf(LockstepException.class);
      assertThat(receiving.failure()).isInstanceOf(LockstepException.class);
      assertThat(ranks.transport(0).poll()).isZero();
      Transfer lost = receive(ranks.zeros(0, 50_000_000), WORLD, 0);
      if (there.receiver().post(lost) == Link.ACCEPTED) {
        assertThat(ranks.failure(lost)).isInstanceOf(LockstepException.class);
      }
    }
  }

  @Test
  void closedMemoryFailsTheTransferAndNothingElse() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Registration target = ranks.zeros(0, 5000);
      Transfer receiving = receive(target, WORLD, 0);
      ranks.post(link.receiver(), receiving);
      target.region().close();
      Transfer sending = send(ranks.random(0, 5000, 1), WORLD, 0);
      ranks.post(link.sender(), sending);
      assertThat(ranks.failure(receiving)).hasMessageContaining("buffer is closed: name=test");
    }
  }

  @Test
  void endsTakeOnlyTheirOwnKindOfTransfer() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Registration range = ranks.zeros(0, 8);
      assertThatThrownBy(() -> link.sender().post(receive(range, WORLD, 0)))
          .isInstanceOf(IllegalArgumentException.class);
      assertThatThrownBy(() -> link.receiver().post(send(range, WORLD, 0)))
          .isInstanceOf(IllegalArgumentException.class);
    }
  }

  @Test
  void peerThatDoesNotComeIsATypedErrorInTime() {
    try (TransportHarness ranks = open(2)) {
      long before = System.nanoTime();
      assertThatThrownBy(() -> ranks.transport(0).openSend(1, WORLD, Duration.ofMillis(200)))
          .isInstanceOf(LockstepException.class);
      assertThat(Duration.ofNanos(System.nanoTime() - before))
          .as(MachineLoad::now)
          .isLessThan(Duration.ofSeconds(10));
    }
  }
}
