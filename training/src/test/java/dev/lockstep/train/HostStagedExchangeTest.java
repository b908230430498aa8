package dev.lockstep.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.graph.LaneSplit;
import dev.lockstep.graph.Primitive;
import dev.lockstep.graph.ReduceOp;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Shape;
import dev.lockstep.tensor.Tensor;
import dev.lockstep.train.SlowBus.Slow;
import dev.lockstep.train.parallel.Exchange;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/// What happens when between collectives of memory that the host cannot address: copies out, the
/// collectives themselves, copies back.
@Timeout(20)
class HostStagedExchangeTest {
  private static final Primitive SUM =
      new Primitive.AllReduce(Layout.DATA, new ReduceOp.Sum(), LaneSplit.onePerRank(2));

  private final SlowBus bus = new SlowBus();
  private final List<String> events = bus.events();
  private final List<Buffer> buffers = new ArrayList<>();
  private final List<Exchange.Prepared> prepared = new ArrayList<>();
  private Job job;
  private long usedBefore;
  private HostStagedExchange exchange;

  @BeforeEach
  void open() {
    job = Job.inProcess(1, JobConfig.of(Map.of())).getFirst();
    usedBefore = job.memory().usedBytes();
    exchange = new HostStagedExchange(bus.exchange(), bus.device(), bus.stream(), job, 0);
  }

  @AfterEach
  void close() {
    prepared.forEach(Exchange.Prepared::close);
    buffers.forEach(Buffer::close);
    assertThat(job.memory().usedBytes()).isEqualTo(usedBefore);
    assertThat(bus.pins()).isZero();
    job.close();
  }

  private Tensor tensor(String name) {
    Buffer buffer = HostMemory.allocate(job.memory(), name, 64);
    buffers.add(buffer);
    return Tensor.of(buffer, DType.F32, Shape.of(16));
  }

  private Exchange.Prepared sum(String name) {
    Tensor tensor = tensor(name);
    Exchange.Prepared made = exchange.prepare(SUM, List.of(tensor), tensor);
    prepared.add(made);
    events.clear();
    return made;
  }

  @Test
  void theNextIsCopiedOutAndTheOneBeforeCopiedBackWhileOneIsOnItsWay() {
    Exchange.Prepared a = sum("a");
    Exchange.Prepared b = sum("b");
    Exchange.Prepared c = sum("c");
    bus.collective("a").isLong();
    bus.collective("b").isLong();
    a.start();
    b.start();
    c.start();
    assertThat(events).as("nobody waits").containsExactly("out a", "out b", "out c");
    bus.out("a").arrives();
    a.await();
    assertThat(bus.in("a").isUnderWay()).isTrue();
    b.await();
    c.await();
    assertThat(events)
        .containsSubsequence("out a", "out b", "begin a", "begin b", "end a", "in a", "end b")
        .containsSubsequence("begin b", "begin c", "end b", "in b", "end c", "in c");
  }

  @Test
  void allAreStartedBeforeOneIsWaitedFor() {
    Exchange.Prepared a = sum("a");
    Exchange.Prepared b = sum("b");
    bus.collective("a").isLong();
    exchange.runAll(new Exchange.Prepared[] {a, b});
    assertThat(events)
        .containsExactly("out a", "out b", "begin a", "begin b", "end a", "in a", "end b", "in b");
  }

  @Test
  void collectivesBeginInTheOrderOfTheirStarts() {
    Exchange.Prepared a = sum("a");
    Exchange.Prepared b = sum("b");
    a.start();
    b.start();
    bus.out("b").arrives();
    assertThat(b.poll()).isFalse();
    assertThat(events).containsExactly("out a", "out b");
    bus.out("a").arrives();
    assertThat(b.poll()).isTrue();
    assertThat(events).containsExactly("out a", "out b", "begin a", "begin b");
    a.await();
    b.await();
  }

  @Test
  void oneThatRunsAtOnceBeginsBehindThoseStartedBefore() {
    Exchange.Prepared a = sum("a");
    Exchange.Prepared b = sum("b");
    a.start();
    b.run();
    a.await();
    assertThat(events)
        .containsExactly("out a", "out b", "begin a", "run b", "in b", "end a", "in a");
  }

  /// A peer may have to see the second one before it can come to the first.
  @Test
  void whoWaitsForOneLetsTheNextBegin() {
    Exchange.Prepared a = sum("a");
    Exchange.Prepared b = sum("b");
    bus.collective("a").endsBehind("begin b");
    a.start();
    b.start();
    a.await();
    b.await();
    assertThat(events).containsSubsequence("begin a", "begin b", "end a", "end b");
  }

  @Test
  void aMirrorIsNotWrittenWhileItIsCopiedBack() {
    Exchange.Prepared a = sum("a");
    a.start();
    a.await();
    assertThat(bus.in("a").isUnderWay()).isTrue();
    events.clear();
    a.start();
    a.await();
    assertThat(events).containsExactly("in a is over", "out a", "begin a", "end a", "in a");
    events.clear();
    a.run();
    assertThat(events).containsExactly("in a is over", "out a", "run a", "in a");
  }

  @Test
  void aMessageIsAwaitedThoughAnotherIsStillCopiedOut() {
    try (Exchange.Message sent = exchange.message(Layout.PIPELINE, true, 0, tensor("sent"));
        Exchange.Message received = exchange.message(Layout.PIPELINE, false, 1, tensor("got"))) {
      events.clear();
      sent.start();
      received.start();
      assertThat(events).containsExactly("out sent", "begin got");
      bus.collective("got").endsBehind("begin sent");
      received.await();
      sent.await();
      assertThat(events)
          .containsExactly("out sent", "begin got", "begin sent", "end got", "in got", "end sent");
    }
  }

  /// Behind it the host may wait for the GPU, which may wait for a peer that needs what was sent.
  @Test
  void whoHasReceivedHasBegunWhatWasSentBefore() {
    try (Exchange.Message sent = exchange.message(Layout.PIPELINE, true, 0, tensor("sent"));
        Exchange.Message received = exchange.message(Layout.PIPELINE, false, 1, tensor("got"))) {
      events.clear();
      sent.start();
      received.start();
      received.await();
      assertThat(events).containsSubsequence("out sent", "begin got", "in got", "begin sent");
      sent.await();
    }
  }

  @Test
  void wordsAreSaidBehindWhatWasStarted() {
    Exchange.Prepared a = sum("a");
    a.start();
    var _ = exchange.words("hello");
    assertThat(events).containsExactly("out a", "begin a", "words");
    a.await();
  }

  @Test
  void mirrorsAreLetGoOfBehindTheirCopiesAndFreedLast() {
    Exchange.Prepared a = sum("a");
    a.start();
    a.await();
    Slow back = bus.in("a");
    assertThat(back.isUnderWay()).isTrue();
    events.clear();
    a.close();
    prepared.clear();
    assertThat(events).containsExactly("close a", "in a is over", "unpin", "unpin");
  }

  @Test
  void whatHasNotBegunIsForgottenWhenItIsClosed() {
    Exchange.Prepared a = sum("a");
    Exchange.Prepared b = sum("b");
    a.start();
    b.start();
    a.close();
    b.await();
    assertThat(events).contains("begin b", "end b").doesNotContain("begin a");
  }

  @Test
  void nothingStaysOfWhatCannotBePrepared() {
    Tensor tensor = tensor("a");
    long used = job.memory().usedBytes();
    bus.refuses("collective");
    assertThatThrownBy(() -> exchange.prepare(SUM, List.of(tensor), tensor))
        .hasMessage("refused: collective");
    bus.refuses("copy in");
    assertThatThrownBy(() -> exchange.prepare(SUM, List.of(tensor), tensor))
        .hasMessage("refused: copy in");
    bus.refuses("pin");
    assertThatThrownBy(() -> exchange.prepare(SUM, List.of(tensor), tensor))
        .hasMessage("refused: pin");
    assertThat(job.memory().usedBytes()).isEqualTo(used);
    assertThat(bus.pins()).isZero();
  }

  @Test
  void aFailedCollectiveLeavesTheOthersToBeClosed() {
    Exchange.Prepared a = sum("a");
    Exchange.Prepared b = sum("b");
    bus.collective("a").fails();
    a.start();
    b.start();
    assertThatThrownBy(a::await).hasMessage("failed: a");
    assertThatThrownBy(a::close).hasMessage("failed to close: a");
    b.close();
    prepared.clear();
  }
}
