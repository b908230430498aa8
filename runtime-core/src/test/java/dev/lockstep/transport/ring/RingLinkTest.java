package dev.lockstep.transport.ring;

import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.Registration;
import dev.lockstep.transport.Link;
import dev.lockstep.transport.MismatchedEnvelopeException;
import dev.lockstep.transport.Transfer;
import dev.lockstep.transport.TransportHarness;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// Both ends over one ring, stepped by hand; memory is damaged as a broken peer would.
@Timeout(60)
final class RingLinkTest {
  private static final int CAPACITY = 4096;
  private static final long DATA = 4096;
  private static final int WORLD = 9;

  private final Arena arena = Arena.ofShared();
  private final MemorySegment memory = arena.allocate(Ring.areaBytes(CAPACITY), 4096);
  private final RingCounters counters = new RingCounters();
  private final TransportHarness ranks = new TransportHarness(List.of());
  private final RingReceiver receiver;
  private final RingSender sender;

  RingLinkTest() {
    Ring.lay(memory);
    receiver = new RingReceiver(Ring.open(memory), new Area(memory), 0, WORLD, counters);
    sender = new RingSender(Ring.open(memory), new Area(memory), 1, WORLD, counters);
  }

  private record Area(MemorySegment segment) implements SharedArea {
    @Override
    public void close() {
      // The test's arena owns it.
    }
  }

  @AfterEach
  void close() {
    sender.close();
    receiver.close();
    ranks.close();
    arena.close();
  }

  private Transfer sent(long bytes, long sequence) {
    Transfer transfer = send(ranks.random(0, bytes, sequence), WORLD, sequence);
    assertThat(sender.post(transfer)).isEqualTo(Link.ACCEPTED);
    return transfer;
  }

  private Transfer awaited(long bytes, long sequence) {
    Transfer transfer = receive(ranks.zeros(0, bytes), WORLD, sequence);
    assertThat(receiver.post(transfer)).isEqualTo(Link.ACCEPTED);
    return transfer;
  }

  @Test
  void shortMessageIsSentByPostingIt() {
    Transfer transfer = sent(16, 0);
    assertThat(transfer.isDone()).isTrue();
    assertThat(memory.get(ValueLayout.JAVA_INT, DATA)).isEqualTo(Ring.FIRST);
    assertThat(memory.get(ValueLayout.JAVA_INT, DATA + 128)).isZero();
    Transfer arrived = awaited(16, 0);
    assertThat(receiver.poll()).isEqualTo(1);
    assertThat(arrived.isDone()).isTrue();
  }

  @Test
  void everyAlignmentOfEveryFrameArrives() {
    SplittableRandom random = new SplittableRandom(1);
    for (int i = 0; i < 20_000; i++) {
      long bytes = random.nextInt(3) == 0 ? random.nextInt(20_000) : random.nextInt(300);
      Registration source = ranks.random(0, bytes, i);
      Registration target = ranks.zeros(0, bytes);
      Transfer sending = send(source, WORLD, i);
      Transfer receiving = receive(target, WORLD, i);
      sender.post(sending);
      receiver.post(receiving);
      for (int step = 0; !(sending.isDone() && receiving.isDone()); step++) {
        assertThat(step).as("steps of %d bytes", bytes).isLessThan(1000);
        sender.poll();
        receiver.poll();
      }
      assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
      source.region().close();
      target.region().close();
    }
  }

  @Test
  void mismatchIsToldToTheSenderToo() {
    Transfer transfer = sent(16, 4);
    assertThat(transfer.isDone()).isTrue();
    Transfer receiving = awaited(16, 5);
    receiver.poll();
    assertThat(receiving.failure()).isInstanceOf(MismatchedEnvelopeException.class);
    assertThat(receiving.failure())
        .hasMessageContaining("peer=0, sequence=5 here and 4 there")
        .hasMessageContaining("(call the same collectives in the same order on every rank)");
    Transfer next = send(ranks.zeros(0, 16), WORLD, 5);
    assertThat(sender.post(next)).isEqualTo(Link.CLOSED);
    assertThat(next.failure())
        .isInstanceOfSatisfying(
            MismatchedEnvelopeException.class,
            mismatch -> {
              assertThat(mismatch.peer()).isEqualTo(1);
              assertThat(mismatch.expected().sequence).isEqualTo(4);
              assertThat(mismatch.arrived().sequence).isEqualTo(5);
            });
  }

  @ParameterizedTest(name = "byte {0} of the frame")
  @ValueSource(ints = {0, 3, 4, 5, 7, 8, 11, 16, 20, 22, 24, 40, 60, 64, 90, 104, 112, 150, 211})
  void anyDamagedByteIsFound(int at) {
    Transfer unused = sent(100, 0);
    byte damaged = memory.get(ValueLayout.JAVA_BYTE, DATA + at);
    memory.set(ValueLayout.JAVA_BYTE, DATA + at, (byte) (damaged ^ 0x10));
    Transfer receiving = awaited(100, 0);
    receiver.poll();
    assertThat(receiving.failure())
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("from=0, communicator=9");
    Transfer next = send(ranks.zeros(0, 16), WORLD, 1);
    assertThat(sender.post(next)).isEqualTo(Link.CLOSED);
    assertThat(next.failure())
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("receiver got garbage");
    assertThat(unused.isDone()).isTrue();
  }

  @Test
  void damageInALaterFrameIsFound() {
    Transfer large = sent(2000, 0);
    assertThat(large.isDone()).isTrue();
    long second = DATA + 512;
    assertThat(memory.get(ValueLayout.JAVA_INT, second)).isEqualTo(Ring.NEXT);
    memory.set(ValueLayout.JAVA_BYTE, second + 100, (byte) 0);
    memory.set(ValueLayout.JAVA_BYTE, second + 101, (byte) 1);
    Transfer receiving = awaited(2000, 0);
    receiver.poll();
    assertThat(receiving.failure()).hasMessageContaining("checksum is wrong");
  }

  @Test
  void randomGarbageNeverDoesMoreThanFailTheLink() {
    SplittableRandom random = new SplittableRandom(5);
    for (long i = DATA; i < DATA + CAPACITY; i += 8) {
      memory.set(ValueLayout.JAVA_LONG, i, random.nextLong() | 1);
    }
    Transfer receiving = awaited(100, 0);
    receiver.poll();
    assertThat(receiving.failure()).isInstanceOf(TransportException.class);
  }

  @ParameterizedTest(name = "position={0}")
  @CsvSource({"-1", "1", "9223372036854775807", "-9223372036854775808"})
  void impossiblePositionOfTheReceiverFailsTheSender(long position) {
    memory.set(ValueLayout.JAVA_LONG, 128, position);
    Transfer large = send(ranks.zeros(0, 100_000), WORLD, 0);
    sender.post(large);
    sender.poll();
    // A position that lies in what was sent cannot be told from a true one.
    if (position == 1) {
      assertThat(large.state()).isEqualTo(Transfer.State.POSTED);
    } else {
      assertThat(large.failure())
          .isInstanceOf(TransportException.class)
          .hasMessageContaining("receiver's position is impossible");
    }
  }

  @Test
  void memoryWithoutARingIsRefused() {
    assertThatThrownBy(() -> Ring.open(arena.allocate(8192, 4096)))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> Ring.open(arena.allocate(100, 64)))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void closingWhileTheOtherThreadPollsEndsInFailures() throws InterruptedException {
    Transfer receiving = receive(ranks.zeros(0, 1 << 22), WORLD, 0);
    assertThat(receiver.post(receiving)).isEqualTo(Link.ACCEPTED);
    Thread reader =
        Thread.ofPlatform()
            .daemon()
            .start(
                () ->
                    Deadline.until(
                        () -> {
                          receiver.poll();
                          return receiving.state() != Transfer.State.POSTED;
                        }));
    Transfer sending = send(ranks.zeros(0, 1 << 22), WORLD, 0);
    sender.post(sending);
    Deadline.until(
        () -> {
          sender.poll();
          return sending.progress >= 1 << 16;
        });
    sender.close();
    reader.join();
    assertThat(sending.failure()).isInstanceOf(TransportException.class);
    assertThat(receiving.failure()).hasMessageContaining("closed by its sender");
  }
}
