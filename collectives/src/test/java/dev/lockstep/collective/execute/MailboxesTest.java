package dev.lockstep.collective.execute;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.collective.schedule.Schedule;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.PeerAccess;
import dev.lockstep.transport.Sink;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.atomic.AtomicLongArray;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(20)
class MailboxesTest {
  private static final long OPERATION = 42;
  private static final int SENDER = 0;
  private static final int RECEIVER = 1;

  private final MemoryPool pool = MemoryPool.root("test", 1L << 24);
  private final Host host = new Host();
  private final Mailboxes sender = host.mailboxes(SENDER);
  private final Mailboxes receiver = host.mailboxes(RECEIVER);
  private final Buffer sent = HostMemory.allocate(pool, "sent", Schedule.SHORT_BYTES);
  private final Buffer got = HostMemory.allocate(pool, "got", Schedule.SHORT_BYTES);

  MailboxesTest() {
    receiver.open(SENDER);
    sender.open(RECEIVER);
  }

  @AfterEach
  void everythingIsFreed() {
    sender.close();
    receiver.close();
    sent.close();
    got.close();
    pool.close();
  }

  private MemorySegment message(int bytes, int seed) {
    MemorySegment message = sent.segment().asSlice(0, bytes);
    for (int at = 0; at < bytes; at++) {
      message.set(ValueLayout.JAVA_BYTE, at, (byte) (at * 31 + at / 251 + seed));
    }
    return message;
  }

  private boolean send(MemorySegment message) {
    return sender.send(RECEIVER, message, OPERATION);
  }

  private boolean receive(MemorySegment into) {
    return receiver.receive(SENDER, into, null, OPERATION);
  }

  @ParameterizedTest(name = "bytes={0}")
  @ValueSource(ints = {0, 1, 4, 8, 56, 57, 64, 1000, 1023, 1024})
  void messagesOfAnyLengthArriveOneAfterAnother(int bytes) {
    for (int round = 0; round < 100; round++) {
      MemorySegment message = message(bytes, round);
      MemorySegment into = got.segment().asSlice(0, bytes);
      assertThat(receive(into)).isFalse();
      assertThat(send(message)).isTrue();
      assertThat(receiver.isThere(SENDER)).isTrue();
      assertThat(receive(into)).isTrue();
      assertThat(into.mismatch(message)).isEqualTo(-1);
    }
  }

  @Test
  void aSenderWaitsForNobodyUntilTheQueueIsFull() {
    MemorySegment message = message(Schedule.SHORT_BYTES, 7);
    int ahead = 0;
    while (send(message)) {
      ahead++;
    }
    assertThat(ahead).isBetween(2, 1000);
    for (int taken = 0; taken < ahead; taken++) {
      assertThat(receive(got.segment())).isTrue();
      assertThat(got.segment().mismatch(message)).isEqualTo(-1);
    }
    assertThat(receive(got.segment())).isFalse();
    assertThat(send(message)).isTrue();
  }

  @ParameterizedTest(name = "elements={0}")
  @ValueSource(ints = {1, 14, 15, 256})
  void whatArrivesIsJoinedOnItsWay(int elements) {
    MemorySegment message = sent.segment().asSlice(0, 4L * elements);
    MemorySegment own = got.segment().asSlice(0, 4L * elements);
    ReduceOp sum = new ReduceOp.Sum();
    for (int i = 0; i < elements; i++) {
      message.setAtIndex(ValueLayout.JAVA_FLOAT, i, i);
      own.setAtIndex(ValueLayout.JAVA_FLOAT, i, 0.5f);
    }
    Registration whole = got.registration().slice(0, 4L * elements);
    for (int round = 0; round < 3; round++) {
      assertThat(send(message)).isTrue();
    }
    assertThat(receiver.receiveJoin(SENDER, own, true, own, sum, DType.F32, OPERATION)).isTrue();
    assertThat(receiver.receiveJoin(SENDER, own, false, own, sum, DType.F32, OPERATION)).isTrue();
    Sink.Reduce sink = new Sink.Reduce(whole, DType.F32, sum);
    assertThat(receiver.receive(SENDER, own, sink, OPERATION)).isTrue();
    for (int i = 0; i < elements; i++) {
      assertThat(own.getAtIndex(ValueLayout.JAVA_FLOAT, i)).isEqualTo(3f * i + 0.5f);
    }
  }

  @ParameterizedTest(name = "bytes={0}")
  @ValueSource(ints = {8, 57, 200, 1024})
  void messagesBetweenTwoThreadsArriveWhole(int bytes) throws Exception {
    int messages = 10_000;
    Thread sending =
        Thread.ofPlatform()
            .daemon()
            .start(
                () -> {
                  MemorySegment message = sent.segment().asSlice(0, bytes);
                  for (int number = 0; number < messages; number++) {
                    message.fill((byte) number);
                    Deadline.until(() -> send(message));
                  }
                });
    MemorySegment into = got.segment().asSlice(0, bytes);
    for (int number = 0; number < messages; number++) {
      Deadline.until(() -> receive(into));
      for (int at = 0; at < bytes; at++) {
        if (into.get(ValueLayout.JAVA_BYTE, at) != (byte) number) {
          throw new AssertionError("message is torn: number=%d, at=%d".formatted(number, at));
        }
      }
    }
    sending.join();
  }

  @Test
  void aMessageOfAnotherCollectiveIsRefused() {
    assertThat(sender.send(RECEIVER, message(Schedule.SHORT_BYTES, 1), OPERATION + 1)).isTrue();
    assertThatThrownBy(() -> receive(got.segment()))
        .isInstanceOfSatisfying(
            PeerFailure.class,
            failure -> assertThat(failure.kind()).isEqualTo(PeerFailure.Kind.DISAGREES));
  }

  /// That all memory is freed is looked at after every test.
  @Test
  void memoryIsFreedThoughAPeersCannotBeForgotten() {
    host.forgetsNothing = true;
    assertThatThrownBy(receiver::close).hasMessage("mapping is gone");
    host.forgetsNothing = false;
    assertThat(host.outgoing.get(RECEIVER).isClosed()).isTrue();
  }

  /// Two ranks' memory and signals, in one process.
  private final class Host implements PeerAccess {
    private final List<Buffer> outgoing =
        List.of(mail("mail of the sender"), mail("mail of the receiver"));
    private boolean forgetsNothing;
    private final AtomicLongArray signals = new AtomicLongArray(2 * SLOTS);

    private Buffer mail(String name) {
      return HostMemory.allocate(pool, name, Mailboxes.bytes(2));
    }

    Mailboxes mailboxes(int rank) {
      byte[][] descriptors = {{SENDER}, {RECEIVER}};
      return new Mailboxes(
          this,
          0,
          new Members(rank, List.of(SENDER, RECEIVER)),
          outgoing.get(rank),
          descriptors,
          new Idle(true));
    }

    @Override
    public byte[] describe(Registration registration) {
      throw new UnsupportedOperationException();
    }

    @Override
    public MemorySegment open(int peer, byte[] descriptor) {
      return outgoing.get(descriptor[0]).segment();
    }

    @Override
    public MemorySegment openToWrite(int peer, byte[] descriptor) {
      throw new UnsupportedOperationException();
    }

    @Override
    public void forget(int peer, byte[] descriptor) {
      if (forgetsNothing) {
        throw new IllegalStateException("mapping is gone");
      }
    }

    @Override
    public void openSignals(int communicator) {}

    @Override
    public void closeSignals(int communicator) {}

    @Override
    public void signal(int peer, int communicator, int slot, long value) {
      signals.setRelease(peer * SLOTS + slot, value);
    }

    @Override
    public long signalled(int peer, int communicator, int slot) {
      // Two ranks: the word is that of the other one to whoever asks about it.
      return signals.getAcquire((1 - peer) * SLOTS + slot);
    }
  }
}
