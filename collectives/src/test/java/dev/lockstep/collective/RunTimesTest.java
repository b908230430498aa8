package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.lockstep.collective.execute.RunTimes;
import dev.lockstep.collective.request.CollectiveRequest;
import dev.lockstep.collective.request.Counts;
import dev.lockstep.tensor.DType;
import dev.lockstep.tensor.Tensor;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.LoggerFactory;

/// Whichever way a collective is started, the log has its predicted and its measured time.
@Timeout(60)
final class RunTimesTest {
  private static final Pattern LINE =
      Pattern.compile(
          "collective has run: request=(\\S.*), algorithm=(\\S+), runs=(\\d+),"
              + " predictedNanos=(-?\\d+), medianNanos=(\\d+)");

  private final Logger logger = (Logger) LoggerFactory.getLogger(RunTimes.class);
  private final ListAppender<ILoggingEvent> lines = new ListAppender<>();

  @BeforeEach
  void listen() {
    lines.start();
    logger.addAppender(lines);
    logger.setLevel(Level.DEBUG);
  }

  @AfterEach
  void stopListening() {
    logger.detachAppender(lines);
    logger.setLevel(null);
  }

  /// Returns what was said of collectives of one kind, line by line.
  private List<Matcher> said(String kind) {
    return lines.list.stream()
        .map(ILoggingEvent::getFormattedMessage)
        .flatMap(
            message -> {
              Matcher line = LINE.matcher(message);
              return line.matches() && line.group(1).startsWith(kind)
                  ? Stream.of(line)
                  : Stream.<Matcher>empty();
            })
        .toList();
  }

  private static PreparedCollective prepareSum(Ranks.Rank rank, long elements) {
    return Ranks.prepareSum(rank.communicator, rank.sharedTensor(DType.F32, elements));
  }

  private static PreparedCollective prepareGather(Ranks.Rank rank) {
    CollectiveRequest request =
        CollectiveRequest.allGather(
            DType.F32, Counts.each(2, 100), false, rank.communicator.topology());
    return rank.communicator.prepare(
        request, List.of(rank.sharedTensor(DType.F32, 100)), rank.sharedTensor(DType.F32, 200));
  }

  /// One line of each rank.
  private void isSaid(String kind, int runs) {
    List<Matcher> said = said(kind);
    assertThat(said).as(kind).hasSize(2);
    for (Matcher line : said) {
      assertThat(line.group(2)).isNotBlank();
      assertThat(Integer.parseInt(line.group(3))).isEqualTo(runs);
      assertThat(Long.parseLong(line.group(4))).as("predicted").isPositive();
      assertThat(Long.parseLong(line.group(5))).as("measured").isBetween(1L, 30_000_000_000L);
    }
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"shm", "messages-only"})
  void ofRunsStartsGroupsAndCalls(String transport) {
    Ranks.run(
        2,
        SameBitsTest.over(transport),
        rank -> {
          Communicator all = rank.communicator;
          try (PreparedCollective sum = prepareSum(rank, 1000);
              PreparedCollective gather = prepareGather(rank)) {
            sum.run();
            sum.run();
            sum.start().await();
            all.startTogether(List.of(sum, gather)).await();
          }
          Tensor part = rank.privateTensor(DType.I32, 10);
          Tensor got = rank.privateTensor(DType.I32, 10);
          all.sendReceive(part, got);
          all.sendReceiveAsync(part, got).await();
          all.broadcast(part, 0);
          for (int i = 0; i < 3; i++) {
            all.barrierAsync().await();
          }
          prepareSum(rank, 7).close(); // never run
          return true;
        });
    isSaid("all_reduce", 4);
    isSaid("all_gather", 1);
    isSaid("sendrecv", 2);
    isSaid("broadcast", 1);
    isSaid("barrier", 3);
  }

  @Test
  void nothingIsSaidWhereNobodyListens() {
    logger.setLevel(Level.INFO);
    Ranks.run(
        2,
        SameBitsTest.over("shm"),
        rank -> {
          rank.communicator.barrier();
          return true;
        });
    assertThat(lines.list).isEmpty();
  }

  @Test
  @Tag("long")
  void lookingAtTheClockAllocatesNothing() {
    var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    Ranks.run(
        2,
        SameBitsTest.over("shm"),
        rank -> {
          PreparedCollective sum = prepareSum(rank, 16);
          long least = Long.MAX_VALUE;
          for (int round = 0; round < 5000 && least > 0; round++) {
            long before = threads.getCurrentThreadAllocatedBytes();
            for (int i = 0; i < 200; i++) {
              sum.run();
            }
            least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
            least = OperationsTest.agreeOnLeast(rank, least);
          }
          assertThat(least).isZero();
          return true;
        });
  }
}
