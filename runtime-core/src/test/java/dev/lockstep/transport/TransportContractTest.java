package dev.lockstep.transport;

import static dev.lockstep.transport.TransportHarness.nonZero;
import static dev.lockstep.transport.TransportHarness.receive;
import static dev.lockstep.transport.TransportHarness.send;
import static dev.lockstep.transport.TransportHarness.stamped;
import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.Registration;
import dev.lockstep.tensor.DType;
import dev.lockstep.transport.TransportHarness.Pair;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/// What every transport's links do. A transport's module extends this and opens its transports.
@Timeout(120)
public abstract class TransportContractTest extends TransportFailuresTest {
  private static final int WORLD = 5;

  /// Around the sizes at which transports go from one way of sending to another.
  private static final int[] LENGTHS = {
    0, 1, 3, 16, 17, 63, 64, 65, 1023, 4095, 4096, 4097, 65_423, 65_424, 65_425, 65_536, 65_537,
    524_175, 524_287, 524_288, 524_289, 3_000_001
  };

  @Test
  void deliversEveryByteAndNoMore() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      for (int i = 0; i < LENGTHS.length; i++) {
        deliver(ranks, link, i, LENGTHS[i]);
      }
      assertThat(link.sender().peer()).isEqualTo(1);
      assertThat(link.receiver().peer()).isEqualTo(0);
      assertThat(link.receiver().communicator()).isEqualTo(WORLD);
    }
  }

  private static void deliver(TransportHarness ranks, Pair link, long sequence, long bytes) {
    Registration source = ranks.random(3, bytes, 1);
    Registration target = ranks.zeros(5, bytes);
    Transfer sending = send(source, WORLD, sequence);
    Transfer receiving = receive(target, WORLD, sequence);
    assertThat(receiving.state()).isEqualTo(Transfer.State.IDLE);
    ranks.post(link.receiver(), receiving);
    ranks.post(link.sender(), sending);
    ranks.await(sending, receiving);
    assertThat(target.segment().mismatch(source.segment())).as("bytes=%d", bytes).isEqualTo(-1);
    MemorySegment whole = target.region().segment();
    assertThat(nonZero(whole.asSlice(0, 5))).as("before: bytes=%d", bytes).isFalse();
    assertThat(nonZero(whole.asSlice(5 + bytes))).as("behind: bytes=%d", bytes).isFalse();
  }

  @Test
  void anotherJobBeginsWhereOneHasEnded() {
    for (int job = 0; job < 2; job++) {
      try (TransportHarness ranks = open(2)) {
        Pair link = ranks.link(0, 1, WORLD);
        deliver(ranks, link, 0, 1000);
        deliver(ranks, link, 1, 100_000);
      }
    }
  }

  @Test
  void keepsTheOrderOfPosting() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      int messages = 3000;
      SplittableRandom random = new SplittableRandom(3);
      List<Transfer> receiving = new ArrayList<>();
      Buffer source = ranks.buffer(8000);
      Buffer target = ranks.buffer(messages * 8000L / 100);
      TransportHarness.fill(source, 5);
      int sent = 0;
      while (sent < messages) {
        int batch = Math.min(messages - sent, 1 + random.nextInt(40));
        List<Transfer> sending = new ArrayList<>();
        for (int i = 0; i < batch; i++) {
          int bytes = random.nextInt(8000);
          var from = new Registration(source.registration().region(), 0, bytes);
          var to = new Registration(target.registration().region(), 8000L * (i % 30), bytes);
          Transfer out = send(from, WORLD, sent);
          Transfer in = receive(to, WORLD, sent);
          sending.add(out);
          receiving.add(in);
          ranks.post(link.sender(), out);
          ranks.post(link.receiver(), in);
          sent++;
        }
        ranks.await(sending.toArray(Transfer[]::new));
        ranks.await(receiving.toArray(Transfer[]::new));
        Registration last = receiving.getLast().sink().target();
        long size = last.bytes();
        assertThat(last.segment().mismatch(source.segment().asSlice(0, size))).isEqualTo(-1);
        receiving.clear();
      }
      assertThat(ranks.transport(1).counters().messagesReceived()).isEqualTo(messages);
    }
  }

  /// Sums of numbers of a type, from and to places that are not aligned.
  private record Reduction(DType dtype, String label, int elements, long offset) {}

  private static List<Reduction> reductions() {
    return List.of(
        new Reduction(DType.F32, "sum", 1, 0),
        new Reduction(DType.F32, "sum", 40_000, 1),
        new Reduction(DType.F32, "sum", 300_001, 7),
        new Reduction(DType.F64, "prod", 99_999, 3),
        new Reduction(DType.BF16, "sum", 262_145, 1),
        new Reduction(DType.F16, "max", 77_777, 0),
        new Reduction(DType.F8_E4M3FN, "sum", 70_001, 5),
        new Reduction(DType.U8, "max", 600_001, 1),
        new Reduction(DType.I64, "sum", 70_003, 9),
        new Reduction(DType.I32, "min", 131_073, 2),
        new Reduction(DType.I16, "sum", 50_001, 1),
        new Reduction(DType.BOOL, "sum", 65_537, 3),
        new Reduction(DType.F32, "avg", 5000, 4),
        new Reduction(DType.F32, "max", 0, 0));
  }

  @Test
  void reducesIntoTargetsOfEveryType() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(1, 0, WORLD);
      int sequence = 0;
      for (Reduction reduction : reductions()) {
        reduce(ranks, link, sequence++, reduction);
      }
    }
  }

  private static void reduce(TransportHarness ranks, Pair link, long sequence, Reduction asked) {
    DType dtype = asked.dtype();
    ReduceOp op = op(asked.label());
    long offset = asked.offset();
    long bytes = (long) asked.elements() * dtype.bytes();
    try (Arena arena = Arena.ofConfined()) {
      Registration source = ranks.zeros(offset + 1, bytes);
      Registration target = ranks.zeros(offset, bytes);
      TransportHarness.numbers(source, dtype, 1);
      TransportHarness.numbers(target, dtype, 2);
      MemorySegment expected = arena.allocate(bytes + 1).asSlice(0, bytes);
      expected.copyFrom(target.segment());
      Reducer.reduce(op, dtype, expected, 0, source.segment(), 0, asked.elements());
      Transfer sending = send(source, WORLD, sequence);
      Transfer receiving =
          stamped(Transfer.receive(new Sink.Reduce(target, dtype, op)), WORLD, sequence);
      ranks.post(link.sender(), sending);
      ranks.post(link.receiver(), receiving);
      ranks.await(sending, receiving);
      assertThat(target.segment().mismatch(expected)).as("%s", asked).isEqualTo(-1);
      assertThat(nonZero(target.region().segment().asSlice(offset + bytes)))
          .as("behind: %s", asked)
          .isFalse();
    }
  }

  private static ReduceOp op(String label) {
    return Stream.of(
            new ReduceOp.Sum(),
            new ReduceOp.Prod(),
            new ReduceOp.Min(),
            new ReduceOp.Max(),
            new ReduceOp.Avg())
        .filter(op -> op.label().equals(label))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void unreadReceiverMeansBackPressureAndNothingIsLost() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Registration source = ranks.random(0, 10_000, 1);
      List<Transfer> sending = new ArrayList<>();
      int answer = Link.ACCEPTED;
      while (answer == Link.ACCEPTED) {
        assertThat(sending.size()).as("messages that nobody reads").isLessThan(100_000);
        Transfer transfer = send(source, WORLD, sending.size());
        answer = link.sender().post(transfer);
        link.sender().poll();
        if (answer == Link.ACCEPTED) {
          sending.add(transfer);
        }
      }
      assertThat(answer).isEqualTo(Link.BACK_PRESSURED);
      assertThat(sending.getLast().isDone()).isFalse();
      Registration target = ranks.zeros(0, 10_000);
      for (int i = 0; i < sending.size(); i++) {
        target.segment().fill((byte) 0);
        Transfer receiving = receive(target, WORLD, i);
        ranks.post(link.receiver(), receiving);
        ranks.await(receiving);
        assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
      }
      ranks.await(sending.toArray(Transfer[]::new));
    }
  }

  @Test
  void carriesMessagesBetweenAllRanksAndCommunicatorsAtOnce() {
    int size = 4;
    try (TransportHarness ranks = open(size)) {
      List<Transfer> all = new ArrayList<>();
      List<Registration[]> pairs = new ArrayList<>();
      for (int communicator = 1; communicator <= 2; communicator++) {
        for (int from = 0; from < size; from++) {
          for (int to = 0; to < size; to++) {
            if (from != to) {
              Pair link = ranks.link(from, to, communicator);
              for (int message = 0; message < 3; message++) {
                long bytes = 50_000L * message + 1000L * from + to;
                Registration source = ranks.random(0, bytes, pairs.size());
                Registration target = ranks.zeros(0, bytes);
                pairs.add(new Registration[] {source, target});
                all.add(send(source, communicator, message));
                ranks.post(link.sender(), all.getLast());
                all.add(receive(target, communicator, message));
                ranks.post(link.receiver(), all.getLast());
              }
            }
          }
        }
      }
      ranks.await(all.toArray(Transfer[]::new));
      for (Registration[] pair : pairs) {
        assertThat(pair[1].segment().mismatch(pair[0].segment())).isEqualTo(-1);
      }
    }
  }

  @Test
  void communicatorsDoNotWaitForEachOther() {
    try (TransportHarness ranks = open(2)) {
      Pair stuck = ranks.link(0, 1, 1);
      Pair free = ranks.link(0, 1, 2);
      Transfer large = send(ranks.random(0, 5_000_000, 1), 1, 0);
      ranks.post(stuck.sender(), large);
      Registration source = ranks.random(0, 2_000_000, 2);
      Registration target = ranks.zeros(0, 2_000_000);
      Transfer sending = send(source, 2, 0);
      Transfer receiving = receive(target, 2, 0);
      ranks.post(free.sender(), sending);
      ranks.post(free.receiver(), receiving);
      ranks.await(sending, receiving);
      assertThat(target.segment().mismatch(source.segment())).isEqualTo(-1);
      assertThat(large.state()).isEqualTo(Transfer.State.POSTED);
    }
  }

  @Test
  void countsPayload() {
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      long total = 0;
      for (int i = 0; i < 10; i++) {
        long bytes = i * 100_001L;
        total += bytes;
        Transfer sending = send(ranks.random(0, bytes, i), WORLD, i);
        Transfer receiving = receive(ranks.zeros(0, bytes), WORLD, i);
        ranks.post(link.sender(), sending);
        ranks.post(link.receiver(), receiving);
        ranks.await(sending, receiving);
      }
      TransportCounters sent = new TransportCounters(10, total, 0, 0, 0);
      TransportCounters received = new TransportCounters(0, 0, 10, total, 0);
      assertThat(ranks.transport(0).counters()).isEqualTo(sent);
      assertThat(ranks.transport(1).counters()).isEqualTo(received);
      link.sender().close();
      link.receiver().close();
      ranks.link(0, 1, WORLD + 1); // whoever opens a link may forget those that are closed
      assertThat(ranks.transport(0).counters()).isEqualTo(sent);
      assertThat(ranks.transport(1).counters()).isEqualTo(received);
    }
  }

  @ParameterizedTest(name = "bytes={0}")
  @ValueSource(ints = {4, 100_000})
  void messagesAllocateNothing(int bytes) {
    var threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    try (TransportHarness ranks = open(2)) {
      Pair link = ranks.link(0, 1, WORLD);
      Transport sender = ranks.transport(0);
      Transport receiver = ranks.transport(1);
      Transfer sending = send(ranks.zeros(0, bytes), WORLD, 0);
      Transfer copying = receive(ranks.zeros(0, bytes), WORLD, 0);
      Transfer reducing =
          stamped(
              Transfer.receive(
                  new Sink.Reduce(ranks.zeros(0, bytes), DType.F32, new ReduceOp.Sum())),
              WORLD,
              0);
      long allocated = Long.MAX_VALUE;
      for (int round = 0; round < 50 && allocated != 0; round++) {
        long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 2000; i++) {
          Transfer receiving = i % 2 == 0 ? copying : reducing;
          sending.envelope().sequence = i;
          receiving.envelope().sequence = i;
          link.receiver().post(receiving);
          link.sender().post(sending);
          while (!sending.isDone() || !receiving.isDone()) {
            if (receiving.state() == Transfer.State.FAILED) {
              throw new AssertionError(receiving.failure());
            }
            sender.poll();
            receiver.poll();
          }
        }
        allocated = threads.getCurrentThreadAllocatedBytes() - before;
      }
      assertThat(allocated).as("bytes allocated by 2000 messages").isZero();
    }
  }

  /// One seed is always the same, one never; `-Dlockstep.seed=N` makes it N.
  protected static LongStream seeds() {
    return LongStream.of(
        17, Long.getLong("lockstep.seed", System.nanoTime() >>> 10 & 0xFFFF_FFFFL));
  }

  @ParameterizedTest(name = "seed={0}")
  @MethodSource("seeds")
  void twoThreadsExchangeMessagesOfAllSizes(long seed) throws InterruptedException {
    try (TransportHarness ranks = open(2)) {
      Pair there = ranks.link(0, 1, WORLD);
      Pair back = ranks.link(1, 0, WORLD);
      List<Throwable> failures = new CopyOnWriteArrayList<>();
      Thread echo =
          Thread.ofPlatform()
              .daemon()
              .uncaughtExceptionHandler((_, failure) -> failures.add(failure))
              .start(() -> exchange(ranks, 1, back.sender(), there.receiver(), seed, failures));
      exchange(ranks, 0, there.sender(), back.receiver(), seed, failures);
      echo.join();
      assertThat(failures).isEmpty();
    }
  }

  /// Both ranks send and receive the same sequence of sizes; each checks what the other one sent.
  ///
  /// @param failures of the other rank: nothing more comes from it then
  private static void exchange(
      TransportHarness ranks, int rank, Link out, Link in, long seed, List<Throwable> failures) {
    int largest = 400_000;
    Buffer mine = ranks.buffer(largest);
    Buffer theirs = ranks.buffer(largest);
    Buffer arriving = ranks.buffer(largest);
    TransportHarness.fill(mine, rank);
    TransportHarness.fill(theirs, 1 - rank);
    SplittableRandom random = new SplittableRandom(seed);
    for (int i = 0; i < 1000; i++) {
      long bytes = random.nextInt(4) == 0 ? random.nextInt(largest) : random.nextInt(300);
      Transfer sending = send(new Registration(mine.registration().region(), 0, bytes), WORLD, i);
      Transfer receiving =
          receive(new Registration(arriving.registration().region(), 0, bytes), WORLD, i);
      assertThat(in.post(receiving)).isEqualTo(Link.ACCEPTED);
      assertThat(out.post(sending)).isEqualTo(Link.ACCEPTED);
      Deadline.until(
          () -> {
            var _ = ranks.transport(rank).poll();
            assertThat(sending.failure()).isNull();
            assertThat(receiving.failure()).isNull();
            if (!failures.isEmpty()) {
              throw new AssertionError("the other rank has failed", failures.getFirst());
            }
            return sending.isDone() && receiving.isDone();
          });
      MemorySegment expected = theirs.segment().asSlice(0, bytes);
      assertThat(arriving.segment().asSlice(0, bytes).mismatch(expected)).isEqualTo(-1);
    }
  }
}
