package dev.lockstep.job;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.deadline.Promise;
import dev.lockstep.process.JavaCommand;
import dev.lockstep.process.Ports;
import dev.lockstep.process.Signals;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// Ranks that die, hang or are cut off, as processes of their own and over a wire that can be cut.
@Timeout(30)
class LivenessTest {
  private static final Duration LIVENESS = Duration.ofMillis(1500);
  private static final Duration LONGEST = Duration.ofSeconds(20);
  private static final Duration SECOND = Duration.ofSeconds(1);

  @TempDir private Path temp;
  private final List<AutoCloseable> open = new ArrayList<>();
  private final List<Process> processes = new ArrayList<>();

  @AfterEach
  void close() throws Exception {
    processes.forEach(Process::destroyForcibly);
    for (AutoCloseable one : open.reversed()) {
      one.close();
    }
  }

  private StoreServer agent(int worldSize) {
    StoreServer server =
        StoreServer.start("127.0.0.1", 0, Ranks.TOKEN.getBytes(UTF_8), worldSize, LIVENESS);
    open.add(server);
    return server;
  }

  /// Starts a rank as a process that joins and then only lives.
  private Process rankProcess(Map<String, String> variables) throws IOException {
    ProcessBuilder builder =
        new ProcessBuilder(
            JavaCommand.of(
                List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
                RankProcess.class.getName(),
                List.of()));
    builder.environment().putAll(variables);
    builder.redirectError(ProcessBuilder.Redirect.INHERIT);
    Process process = builder.start();
    processes.add(process);
    return process;
  }

  private static void awaitJoined(Process process) throws IOException {
    BufferedReader out = new BufferedReader(new InputStreamReader(process.getInputStream(), UTF_8));
    assertThat(out.readLine()).isEqualTo("joined");
  }

  private static CompletableFuture<Duration> timeToFailure(Job job) {
    long start = System.nanoTime();
    return CompletableFuture.supplyAsync(
        () -> {
          while (job.failure().isEmpty()) {
            if (System.nanoTime() - start > LONGEST.toNanos()) {
              throw new AssertionError("job does not fail: waitedSeconds=" + LONGEST.toSeconds());
            }
            LockSupport.parkNanos(1_000_000);
          }
          return Duration.ofNanos(System.nanoTime() - start);
        },
        task -> Thread.ofPlatform().daemon().start(task));
  }

  private static Duration within(CompletableFuture<Duration> time)
      throws InterruptedException, ExecutionException, TimeoutException {
    return time.get(10, TimeUnit.SECONDS);
  }

  @Test
  void aKilledProcessIsKnownWithinASecond() throws Exception {
    Promise.keptWithin(SECOND, this::timeToKnowAKilledProcess);
  }

  private Duration timeToKnowAKilledProcess() throws Exception {
    StoreServer server = agent(2);
    Process process = rankProcess(Ranks.ofAgent(temp, server.port(), 1, 2));
    Job job = Job.join(Ranks.config(Ranks.ofAgent(temp, server.port(), 0, 2)));
    open.add(job);
    awaitJoined(process);

    CompletableFuture<Duration> known = timeToFailure(job);
    process.destroyForcibly();
    Duration time = within(known);
    FailureRecord failure = job.failure().orElseThrow();
    assertThat(failure.rank()).isEqualTo(1);
    assertThat(failure.kind()).isEqualTo("ProcessExit");
    assertThat(failure.activity()).isEqualTo("living");
    assertThat(server.failure()).contains(failure);
    return time;
  }

  @Test
  void aKilledHostOfTheStoreIsKnownWithinASecond() throws Exception {
    Promise.keptWithin(SECOND, this::timeToKnowAKilledHost);
  }

  private Duration timeToKnowAKilledHost() throws Exception {
    String port = Integer.toString(Ports.free());
    Map<String, String> host = Ranks.torchrun(0, 2);
    host.put("MASTER_PORT", port);
    host.put(JobVariables.TOKEN_FILE, Ranks.tokenFile(temp, Ranks.TOKEN).toString());
    Process process = rankProcess(host);
    Map<String, String> mine = new HashMap<>(host);
    mine.putAll(Map.of("RANK", "1", "LOCAL_RANK", "1"));
    Job job = Job.join(Ranks.config(mine));
    open.add(job);
    awaitJoined(process);
    Path folder = job.directory();

    CompletableFuture<Duration> known = timeToFailure(job);
    process.destroyForcibly();
    Duration time = within(known);
    FailureRecord failure = job.failure().orElseThrow();
    assertThat(failure.rank()).isZero();
    assertThat(failure.message()).contains("lostRanks=[0]");
    job.close();
    assertThat(folder).doesNotExist();
    return time;
  }

  @Test
  void aStoppedProcessIsKnownByItsSilence() throws Exception {
    StoreServer server = agent(2);
    Process process = rankProcess(Ranks.ofAgent(temp, server.port(), 1, 2));
    Job job = Job.join(Ranks.config(Ranks.ofAgent(temp, server.port(), 0, 2)));
    open.add(job);
    awaitJoined(process);
    assertThat(job.liveness()).isEqualTo(LIVENESS);

    CompletableFuture<Duration> known = timeToFailure(job);
    Signals.send("STOP", process.toHandle());
    assertThat(within(known))
        .as(MachineLoad::now)
        .isBetween(Duration.ofMillis(300), LIVENESS.plusSeconds(1));
    FailureRecord failure = job.failure().orElseThrow();
    assertThat(failure.rank()).isEqualTo(1);
    assertThat(failure.kind()).isEqualTo("HeartbeatLost");
    assertThat(failure.message()).contains("lostRanks=[1]");
  }

  @Test
  void bothSidesOfACutWireNameAllRanksOfTheOther() throws Exception {
    StoreServer server = agent(4);
    Relay relay = new Relay(server.port());
    open.add(relay);
    List<JobConfig> configs = new ArrayList<>();
    for (int rank = 0; rank < 4; rank++) {
      int port = rank < 2 ? server.port() : relay.port();
      Map<String, String> variables = Ranks.ofAgent(temp, port, rank, 4);
      variables.put("LOCAL_RANK", Integer.toString(rank % 2));
      variables.put("LOCAL_WORLD_SIZE", "2");
      variables.put("GROUP_RANK", Integer.toString(rank / 2));
      variables.put("GROUP_WORLD_SIZE", "2");
      configs.add(Ranks.config(variables));
    }
    List<Job> jobs = Ranks.joinAll(configs);
    open.addAll(jobs);
    assertThat(relay.passed()).contains("LKST").doesNotContain(Ranks.TOKEN);

    relay.cut();
    List<CompletableFuture<Duration>> known =
        jobs.stream().map(LivenessTest::timeToFailure).toList();
    for (CompletableFuture<Duration> time : known) {
      assertThat(within(time)).as(MachineLoad::now).isLessThan(LIVENESS.plusSeconds(1));
    }
    for (Job job : jobs) {
      FailureRecord failure = job.failure().orElseThrow();
      String lost = job.nodeRank() == 0 ? "lostRanks=[2, 3]" : "lostRanks=[0, 1]";
      assertThat(failure.message()).contains(lost);
      assertThat(failure.rank()).isEqualTo(job.nodeRank() == 0 ? 2 : 0);
      assertThat(failure.kind()).isEqualTo("HeartbeatLost");
    }
  }

  /// More is on its way than a rank may let pile up, and its beats are not read meanwhile.
  @Test
  void aRankThatReadsForLongerThanItsLivenessStaysAlive() throws Exception {
    int bytes = 1 << 20;
    StoreServer server =
        StoreServer.start(
            StoreOptions.of("127.0.0.1", 0, 1, Duration.ofMillis(600))
                .withStorage(bytes, 4L * bytes),
            Ranks.TOKEN.getBytes(UTF_8));
    open.add(server);
    Relay relay = new Relay(server.port());
    open.add(relay);
    Job job = Job.join(Ranks.config(Ranks.ofAgent(temp, relay.port(), 0, 1)));
    open.add(job);
    job.store().set("big", new byte[bytes]);
    relay.slowDown(60);
    List<CompletableFuture<byte[]>> reading = new ArrayList<>();
    for (int i = 0; i < 20; i++) {
      reading.add(
          CompletableFuture.supplyAsync(
              () -> job.store().get("big", LONGEST), task -> Thread.ofVirtual().start(task)));
    }
    for (CompletableFuture<byte[]> value : reading) {
      assertThat(value.get(LONGEST.toSeconds(), TimeUnit.SECONDS)).hasSize(bytes);
    }
    assertThat(server.failure()).isEmpty();
  }

  @Test
  void ranksThatOnlyWaitStayAlive() throws Exception {
    StoreServer server = agent(1);
    Job job = Job.join(Ranks.config(Ranks.ofAgent(temp, server.port(), 0, 1)));
    open.add(job);
    CompletableFuture<Duration> failed = timeToFailure(job);
    assertThatThrownBy(() -> job.store().get("never", LIVENESS.multipliedBy(2)))
        .hasMessageContaining("timed out");
    assertThat(failed).isNotDone();
    job.fail(new ArithmeticException(), "end");
    within(failed);
  }
}
