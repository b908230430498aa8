package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.CollectiveException;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.LoggerFactory;

/// After a failure a peer may still be reading or writing: the memory stays until it says that it
/// does not. A peer that comes later does not begin to.
@Timeout(30)
final class QuarantineTest {
  /// Long enough to be read in place.
  private static final long ELEMENTS = 100_000;

  private static final long BYTES = ELEMENTS * DType.F32.bytes();

  private static final String WARNING = "peers did not say that they have left";

  private final Logger logger =
      (Logger) LoggerFactory.getLogger("dev.lockstep.collective.execute.Quarantine");
  private final ListAppender<ILoggingEvent> lines = new ListAppender<>();

  @BeforeEach
  void listen() {
    lines.start();
    logger.addAppender(lines);
    logger.setLevel(Level.WARN);
  }

  @AfterEach
  void stopListening() {
    logger.detachAppender(lines);
    logger.setLevel(null);
  }

  private List<String> warnings() {
    return lines.list.stream()
        .map(ILoggingEvent::getFormattedMessage)
        .filter(line -> line.contains(WARNING))
        .toList();
  }

  @ParameterizedTest
  @ValueSource(strings = {"in-process", "shm"})
  void memoryThatAPeerMayReadOutlivesItsTensorUntilThePeerHasLeft(String transport) {
    CountDownLatch closed = new CountDownLatch(1);
    Ranks.run(
        2,
        SameBitsTest.over(transport),
        rank -> {
          Tensor tensor = rank.sharedTensor(DType.F32, ELEMENTS);
          PreparedCollective sum = Ranks.prepareSum(rank.communicator, tensor);
          sum.run();
          if (rank.number() == 1) {
            closed.await();
            assertThatThrownBy(sum::run).isInstanceOf(CollectiveException.class);
            sum.close();
            return true;
          }
          Work work = sum.start();
          rank.communicator.abort(new IllegalStateException("enough"));
          assertThatThrownBy(work::await).isInstanceOf(CollectiveAbortedException.class);
          sum.close();
          long used = rank.job.memory().usedBytes();
          tensor.buffer().close();
          assertThat(tensor.buffer().registration().region().isClosed()).isTrue();
          assertThat(rank.job.memory().usedBytes()).isEqualTo(used);
          closed.countDown();
          rank.communicator.close();
          assertThat(rank.job.memory().usedBytes()).isLessThanOrEqualTo(used - BYTES);
          return true;
        });
    assertThat(warnings()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"in-process", "shm"})
  void memoryOfARankThatHasGivenUpIsNotWrittenByALatePeer(String transport) {
    CountDownLatch givenUp = new CountDownLatch(1);
    CountDownLatch late = new CountDownLatch(1);
    Ranks.run(
        2,
        SameBitsTest.over(transport),
        rank -> {
          Tensor tensor = rank.sharedTensor(DType.F32, ELEMENTS);
          PreparedCollective sum = Ranks.prepareSum(rank.communicator, tensor);
          sum.run();
          if (rank.number() == 1) {
            givenUp.await();
            assertThatThrownBy(sum::run).isInstanceOf(CollectiveException.class);
            late.countDown();
            sum.close();
            return true;
          }
          Work work = sum.start();
          work.poll(); // the peer may write from here on
          rank.communicator.abort(new IllegalStateException("enough"));
          assertThatThrownBy(work::await).isInstanceOf(CollectiveAbortedException.class);
          tensor.segment().fill((byte) 7);
          MemorySegment before = tensor.segment().asSlice(0, BYTES - 1);
          givenUp.countDown();
          late.await();
          assertThat(before.mismatch(tensor.segment().asSlice(1))).isEqualTo(-1);
          sum.close();
          return true;
        });
  }

  /// The peer has not signalled this rank before, so it has to know already where to.
  @ParameterizedTest(name = "{0}, aborts={1}")
  @CsvSource({"in-process, false", "shm, false", "in-process, true", "shm, true"})
  void aPeerThatWasIdleAtTheFailureLeavesByAbortingOrClosing(String transport, boolean aborts) {
    CountDownLatch prepared = new CountDownLatch(2);
    CountDownLatch givenUp = new CountDownLatch(1);
    CountDownLatch left = new CountDownLatch(1);
    Ranks.run(
        2,
        SameBitsTest.over(transport),
        rank -> {
          Tensor tensor = rank.sharedTensor(DType.F32, ELEMENTS);
          PreparedCollective sum = Ranks.prepareSum(rank.communicator, tensor);
          prepared.countDown();
          prepared.await(); // who prepares when the job fails has failed too
          if (rank.number() == 1) {
            givenUp.await();
            if (aborts) {
              rank.communicator.abort(new IllegalStateException("so be it"));
            } else {
              rank.communicator.close();
            }
            left.countDown();
            return true;
          }
          Work work = sum.start();
          rank.communicator.abort(new IllegalStateException("enough"));
          assertThatThrownBy(work::await).isInstanceOf(CollectiveAbortedException.class);
          sum.close();
          tensor.buffer().close();
          long used = rank.job.memory().usedBytes();
          givenUp.countDown();
          left.await();
          rank.communicator.close();
          assertThat(rank.job.memory().usedBytes()).isLessThanOrEqualTo(used - BYTES);
          return true;
        });
  }

  @ParameterizedTest
  @ValueSource(strings = {"in-process", "shm"})
  void memoryIsKeptWhenAPeerNeverSaysThatItHasLeft(String transport) {
    CountDownLatch over = new CountDownLatch(1);
    Ranks.run(
        2,
        SameBitsTest.over(transport),
        rank -> {
          Tensor tensor = rank.sharedTensor(DType.F32, ELEMENTS);
          PreparedCollective sum = Ranks.prepareSum(rank.communicator, tensor);
          sum.run();
          if (rank.number() == 1) {
            over.await(); // neither reads nor says anything
            sum.close();
            return true;
          }
          Work work = sum.start();
          rank.communicator.abort(new IllegalStateException("enough"));
          assertThatThrownBy(work::await).isInstanceOf(CollectiveAbortedException.class);
          sum.close();
          tensor.buffer().close();
          rank.communicator.close();
          assertThat(rank.job.memory().usedBytes()).isGreaterThanOrEqualTo(BYTES);
          tensor.buffer().registration().region().liftQuarantine();
          over.countDown();
          return true;
        });
    assertThat(warnings()).anyMatch(line -> line.contains("rank=0"));
  }
}
