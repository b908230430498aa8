package dev.lockstep.job;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.Deadline;
import dev.lockstep.deadline.Promise;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.MemoryBudgetException;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.memory.Buffer;
import dev.lockstep.memory.HostMemory;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(10)
class InProcessJobTest {
  private static final Duration MEETING = Duration.ofMillis(500);
  private static final Duration LONG = Duration.ofSeconds(8);
  private static final JobConfig CONFIG = JobConfig.of(Map.of());

  private final List<Job> jobs = new ArrayList<>();

  private List<Job> start(int ranks) {
    List<Job> made = Job.inProcess(ranks, CONFIG);
    jobs.addAll(made);
    return made;
  }

  @AfterEach
  void close() {
    jobs.forEach(Job::close);
  }

  @Test
  void whatIsLeftOfAJobThatDetectsLeaksIsToldWithWhereItWasAllocated() {
    Job job = Job.inProcess(1, CONFIG.withLeakDetection(true)).getFirst();
    Buffer left = HostMemory.allocate(job.memory(), "left", 64);
    assertThatThrownBy(job::close)
        .hasMessageContaining("left: bytes=64")
        .satisfies(
            told ->
                assertThat(told.getSuppressed()[0].getStackTrace())
                    .anyMatch(frame -> frame.getClassName().equals(getClass().getName())));
    left.close();
  }

  @Test
  void theBudgetThatAProgramSetsBoundsARanksMemory() {
    Job job = Job.inProcess(1, CONFIG.withMemoryBudgetBytes(64 << 10)).getFirst();
    jobs.add(job);
    assertThatThrownBy(() -> HostMemory.allocate(job.memory(), "weights", 65 << 10))
        .isInstanceOf(MemoryBudgetException.class)
        .hasMessageContaining("tensor=weights")
        .hasMessageContaining("budgetBytes=" + (64 << 10));
  }

  @ParameterizedTest
  @ValueSource(strings = {JobVariables.JOIN_TIMEOUT_MILLIS, JobVariables.LIVENESS_MILLIS})
  void timesThatAreTooLongAreRefused(String key) {
    assertThatThrownBy(() -> JobConfig.of(Map.of(key, Long.toString(Long.MAX_VALUE))))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("is too long: " + key + "=");
  }

  @Test
  void aLivenessThatIsTooShortNamesItsVariable() {
    assertThatThrownBy(() -> JobConfig.of(Map.of(JobVariables.LIVENESS_MILLIS, "5")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageStartingWith("liveness is too short: LOCKSTEP_LIVENESS_MS=5, shortestMillis=");
  }

  @Test
  void aMachineThatCannotBeWrittenIsNamedWithItsRemedy(@TempDir Path folder) {
    assertThatThrownBy(() -> JobDirectory.makeIn(folder.resolve("absent")))
        .isInstanceOfSatisfying(
            ConfigurationException.class,
            wrong -> assertThat(wrong.key()).isEqualTo(JobVariables.JOB_DIRECTORY))
        .hasMessageContaining("parent=" + folder.resolve("absent"))
        .hasMessageEndingWith("or set LOCKSTEP_JOB_DIR to a folder of mode 0700)");
  }

  @Test
  void whoTakesOverTheExitRemovesTheFolderOfAJobThatWasNotLeft() {
    List<Job> ranks = start(2);
    Path folder = ranks.get(0).directory();
    List<Runnable> exits = ranks.stream().map(Job::takeOverExit).toList();
    ranks.get(0).close();
    exits.get(0).run();
    assertThat(folder).isDirectory();
    exits.get(1).run();
    assertThat(folder).doesNotExist();
  }

  @Test
  void noWaitAtTheStoreIsTooLong() {
    Store store = start(1).getFirst().store();
    store.set("key", new byte[1]);
    assertThat(store.get("key", Duration.ofSeconds(Long.MAX_VALUE))).hasSize(1);
  }

  @Test
  void ranksShareHostStoreAndFolder() throws Exception {
    List<Job> ranks = start(3);
    assertThat(ranks).extracting(Job::rank).containsExactly(0, 1, 2);
    assertThat(ranks).extracting(Job::localRank).containsExactly(0, 1, 2);
    assertThat(ranks).extracting(Job::worldSize).containsOnly(3);
    assertThat(ranks).extracting(Job::id).containsOnly(ranks.getFirst().id());
    Path folder = ranks.getFirst().directory();
    assertThat(ranks).extracting(Job::directory).containsOnly(folder);
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(folder)))
        .isEqualTo("rwx------");

    CompletableFuture<byte[]> waiting =
        CompletableFuture.supplyAsync(() -> ranks.get(2).store().get("key", LONG));
    ranks.get(1).store().set("key", "value".getBytes(UTF_8));
    assertThat(waiting.get()).isEqualTo("value".getBytes(UTF_8));
    ranks.get(0).store().delete("key");
    assertThat(ranks.get(1).store().peek("key")).isEmpty();
    assertThat(ranks.get(0).store().add("n", 2)).isEqualTo(2);
    assertThat(ranks.get(2).store().add("n", 3)).isEqualTo(5);
    assertThat(ranks.get(0).store().local()).containsSame(ranks.get(1).store().local().get());

    ranks.get(0).close();
    assertThat(folder).exists();
    ranks.get(1).close();
    ranks.get(2).close();
    assertThat(folder).doesNotExist();
  }

  @Test
  void aTimedOutBarrierNamesWhoIsMissingAndMayBeTriedAgain() throws Exception {
    List<Job> ranks = start(3);
    CompletableFuture<Void> second =
        CompletableFuture.runAsync(() -> ranks.get(1).store().barrier("b", 3, LONG));
    assertThatThrownBy(() -> comeToBarrierInVain(ranks.get(0)))
        .isInstanceOfSatisfying(
            CollectiveTimeoutException.class,
            e -> assertThat(e.missingRanks()).contains(2).doesNotContain(0));
    CompletableFuture<Void> third =
        CompletableFuture.runAsync(() -> ranks.get(2).store().barrier("b", 3, LONG));
    ranks.get(0).store().barrier("b", 3, LONG);
    CompletableFuture.allOf(second, third).get();
  }

  private static void comeToBarrierInVain(Job rank) {
    rank.store().barrier("b", 3, Duration.ofMillis(100));
  }

  @Test
  void aBarrierThatIsReleasedAsItsTimeEndsIsReleased() throws Exception {
    StoreTable table = new StoreTable(1 << 10, 1 << 10);
    Store store = new LocalStore(table, new FailureCell(), new ConcurrentHashMap<>(), 0, 3);
    CountDownLatch late = new CountDownLatch(1);
    // Who comes first is released first, and holds up the others.
    var _ = table.barrier("b", 3, 1).thenApply(_ -> Waits.await(late, LONG));
    FutureTask<String> mine =
        new FutureTask<>(() -> store.barrier("b", 3, Duration.ofSeconds(1)), "released");
    Thread waiting = Thread.ofPlatform().daemon().start(mine);
    Deadline.until(() -> waiting.getState() == Thread.State.TIMED_WAITING);
    CompletableFuture<byte[]> last =
        CompletableFuture.supplyAsync(() -> table.barrier("b", 3, 2).join());
    Deadline.until(() -> waiting.getState() == Thread.State.WAITING || mine.isDone());
    late.countDown();
    assertThat(mine.get(20, TimeUnit.SECONDS)).isEqualTo("released");
    assertThat(last.get(20, TimeUnit.SECONDS)).isEmpty();
  }

  @Test
  void ranksThatMeetGoOnTogetherOrAsTheJobFails() throws Exception {
    List<Job> ranks = start(2);
    Store first = ranks.get(0).store();
    AtomicInteger meetings = new AtomicInteger();
    Promise.keptWithin(
        MEETING,
        () -> {
          String key = "both " + meetings.incrementAndGet();
          CompletableFuture<Duration> time =
              CompletableFuture.supplyAsync(() -> timed(() -> first.meet(key, 2)));
          ranks.get(1).store().meet(key, 2);
          return time.get();
        });
    assertThat(timed(() -> first.meet("alone", 2))).isGreaterThanOrEqualTo(MEETING);
    ranks.get(1).fail(new ArithmeticException("boom"), "");
    Promise.keptWithin(MEETING, () -> timed(() -> first.meet("never", 2)));
  }

  private static Duration timed(Runnable meeting) {
    long start = System.nanoTime();
    meeting.run();
    return Duration.ofNanos(System.nanoTime() - start);
  }

  /// What a rank closes after a failure takes its addresses back: that is no second failure.
  @Test
  void addressesOfAJobThatHasFailedAreWithdrawnWithoutAnError() {
    Store store = start(2).getFirst().store();
    store.publish("address", new byte[1]);
    jobs.getLast().fail(new ArithmeticException("boom"), "");
    store.withdraw("address");
    assertThatThrownBy(() -> store.delete("address")).isInstanceOf(JobFailedException.class);
  }

  @Test
  void aFailureReachesEveryRankAndEndsItsWaits() {
    List<Job> ranks = start(3);
    CompletableFuture<byte[]> get =
        CompletableFuture.supplyAsync(() -> ranks.get(0).store().get("never", LONG));
    CompletableFuture<Void> barrier =
        CompletableFuture.runAsync(() -> ranks.get(2).store().barrier("never", 2, LONG));
    ranks.get(1).activity("step 7");
    ranks.get(1).fail(new ArithmeticException("boom"), "");
    ranks.get(2).fail(new IllegalStateException("later"), "x");

    for (Job rank : ranks) {
      FailureRecord failure = rank.failure().orElseThrow();
      assertThat(failure.rank()).isEqualTo(1);
      assertThat(failure.kind()).isEqualTo("ArithmeticException");
      assertThat(failure.message()).isEqualTo("boom");
      assertThat(failure.activity()).isEqualTo("step 7");
      assertThat(failure.stack()).contains("aFailureReachesEveryRankAndEndsItsWaits");
    }
    for (CompletableFuture<?> wait : List.of(get, barrier)) {
      assertThatThrownBy(wait::get)
          .isInstanceOf(ExecutionException.class)
          .cause()
          .isInstanceOf(JobFailedException.class)
          .hasMessageContaining("failedRank=1")
          .hasMessageContaining("never");
    }
    assertThatThrownBy(() -> ranks.get(0).store().set("a", new byte[0]))
        .isInstanceOf(JobFailedException.class);
    Path folder = ranks.getFirst().directory();
    ranks.get(2).close();
    assertThat(folder).doesNotExist();
  }

  @Test
  void whoOnlyLostAPeerLetsThePeerSpeakFirst() {
    Throwable lost = new RankLostException("all_reduce", 0, 3, 1, "peer is gone: rank=1", null);
    // A machine may stand still for longer than a rank waits for who knows more.
    String told = "";
    for (int tries = 0; tries < 3 && !told.equals("the cause"); tries++) {
      List<Job> ranks = start(2);
      CompletableFuture<Void> secondHand =
          CompletableFuture.runAsync(() -> ranks.get(0).fail(lost, "all_reduce#3"));
      ranks.get(1).fail(new ArithmeticException("the cause"), "");
      secondHand.join();
      told = ranks.get(0).failure().orElseThrow().message();
    }
    assertThat(told).isEqualTo("the cause");

    List<Job> silent = start(2);
    silent.get(0).fail(lost, "all_reduce#3");
    assertThat(silent.get(1).failure()).map(FailureRecord::kind).contains("RankLostException");
  }

  @Test
  void pollingForAFailureAllocatesNothing() {
    Job job = start(1).getFirst();
    var threads = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
    long polls = 0;
    for (int i = 0; i < 20_000; i++) {
      polls += job.failure().isEmpty() ? 1 : 0;
    }
    long before = threads.getCurrentThreadAllocatedBytes();
    for (int i = 0; i < 100_000; i++) {
      polls += job.failure().isEmpty() ? 1 : 0;
    }
    long allocated = threads.getCurrentThreadAllocatedBytes() - before;
    assertThat(polls).isEqualTo(120_000);
    assertThat(allocated).isLessThan(1000); // The measurement itself takes a little.
  }

  @Test
  void writesTheFailureForTorchrun(@TempDir Path temp) throws Exception {
    Path file = temp.resolve("errors/error.json");
    JobConfig config = CONFIG.withEnvironment(Map.of("TORCHELASTIC_ERROR_FILE", file.toString()));
    try (Job job = Job.inProcess(1, config).getFirst()) {
      job.fail(new ArithmeticException("say \"boom\""), "");
    }
    assertThat(Files.readString(file))
        .startsWith("{\"message\":{\"message\":\"ArithmeticException: say \\\"boom\\\"\"")
        .contains("\"py_callstack\":\"java.lang.ArithmeticException: say")
        .containsPattern("\"timestamp\":\"\\d{10}\"")
        .endsWith("\"errorCode\":1}}");
  }

  @Test
  void aLeakIsReportedWhenTheRankCloses() {
    Job job = start(1).getFirst();
    try (var _ = job.memory().charge("weights", 64)) {
      assertThatThrownBy(job::close)
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("weights: bytes=64");
    }
    assertThat(job.directory()).doesNotExist();
  }

  @Test
  void twoJobsDoNotMeet() {
    Job one = start(1).getFirst();
    Job other = start(1).getFirst();
    one.store().set("key", new byte[] {1});
    one.fail(new ArithmeticException(), "");
    assertThat(other.store().peek("key")).isEmpty();
    assertThat(other.failure()).isEmpty();
    assertThat(other.id()).isNotEqualTo(one.id());
    assertThat(other.directory()).isNotEqualTo(one.directory());
  }

  @Test
  void wrongSettingsAreNamed() {
    assertThatThrownBy(() -> JobConfig.of(Map.of("LOCKSTEP_LIVENESS_MS", "soon")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("LOCKSTEP_LIVENESS_MS=soon");
    assertThatThrownBy(() -> JobConfig.of(Map.of("LOCKSTEP_LIVENESS_MS", "1")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("LOCKSTEP_LIVENESS_MS=1");
    assertThat(JobConfig.of(Map.of("LOCKSTEP_LIVENESS_MS", "700")).liveness())
        .isEqualTo(Duration.ofMillis(700));
  }
}
