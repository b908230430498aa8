package dev.lockstep.job;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lockstep.cache.PrivateMode;
import dev.lockstep.deadline.MachineLoad;
import dev.lockstep.failure.CollectiveTimeoutException;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.Particulars;
import dev.lockstep.failure.TransportException;
import dev.lockstep.process.Ports;
import java.io.IOException;
import java.net.Inet4Address;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Ranks that meet over real sockets, as threads of this JVM.
@Timeout(20)
class LaunchedJobTest {
  private static final Duration LONG = Duration.ofSeconds(8);

  @TempDir private Path temp;
  private final List<AutoCloseable> open = new ArrayList<>();

  @AfterEach
  void close() throws Exception {
    // All at once: rank 0 waits for the others where it hosts the store.
    List<CompletableFuture<Void>> closing = new ArrayList<>();
    for (AutoCloseable one : open.reversed()) {
      closing.add(CompletableFuture.runAsync(() -> closeQuietly(one)));
    }
    closing.forEach(CompletableFuture::join);
    assertThat(lockstepThreads()).isEmpty();
  }

  private static void closeQuietly(AutoCloseable one) {
    try {
      one.close();
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  private static List<String> lockstepThreads() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(Thread::isAlive)
        .map(Thread::getName)
        .filter(name -> name.startsWith("lockstep"))
        .toList();
  }

  private StoreServer agent(int worldSize) {
    StoreServer server =
        StoreServer.start(
            "127.0.0.1", 0, Ranks.TOKEN.getBytes(UTF_8), worldSize, JobConfig.DEFAULT_LIVENESS);
    open.add(server);
    return server;
  }

  private List<Job> joinAtAgent(StoreServer server, int worldSize) {
    return joinAll(
        IntStream.range(0, worldSize)
            .mapToObj(r -> Ranks.config(Ranks.ofAgent(temp, server.port(), r, worldSize)))
            .toList());
  }

  private List<Job> joinAll(List<JobConfig> configs) {
    List<Job> jobs = Ranks.joinAll(configs);
    open.addAll(jobs);
    return jobs;
  }

  private static List<Map<String, String>> torchrun(int worldSize, int port) {
    return IntStream.range(0, worldSize)
        .mapToObj(
            rank -> {
              Map<String, String> variables = Ranks.torchrun(rank, worldSize);
              variables.put("MASTER_PORT", Integer.toString(port));
              return variables;
            })
        .toList();
  }

  @Test
  void theHostsLivenessHoldsForAllRanks() throws Exception {
    Duration mine = Duration.ofSeconds(7);
    List<Map<String, String>> variables = torchrun(2, Ports.free());
    List<Job> jobs =
        joinAll(
            List.of(
                Ranks.config(variables.get(0)).withLiveness(mine), Ranks.config(variables.get(1))));
    assertThat(jobs).extracting(Job::liveness).containsOnly(mine);
  }

  @Test
  void ranksMeetAtTheAgentsStore() throws Exception {
    StoreServer server = agent(3);
    List<Job> jobs = joinAtAgent(server, 3);
    assertThat(jobs).extracting(Job::rank).containsExactly(0, 1, 2);
    assertThat(jobs).extracting(Job::localRank).containsExactly(0, 1, 2);
    assertThat(jobs).extracting(Job::id).containsOnly(server.jobId());
    assertThat(jobs).extracting(Job::directory).containsOnly(temp.resolve("job"));
    assertThat(jobs).allSatisfy(job -> assertThat(job.transportContext().isOneHost()).isTrue());
    assertThat(jobs.getFirst().transportContext().bindAddress()).isEqualTo("127.0.0.1");

    Store first = jobs.get(0).store();
    CompletableFuture<byte[]> waiting =
        CompletableFuture.supplyAsync(() -> jobs.get(2).store().get("key", LONG));
    first.set("key", "value".getBytes(UTF_8));
    assertThat(waiting.get()).isEqualTo("value".getBytes(UTF_8));
    assertThat(jobs.get(1).store().peek("key")).contains("value".getBytes(UTF_8));
    assertThat(jobs.get(1).store().peek("other")).isEmpty();
    jobs.get(1).store().delete("key");
    assertThat(first.peek("key")).isEmpty();
    assertThat(first.add("n", 5)).isEqualTo(5);
    assertThat(jobs.get(1).store().add("n", -7)).isEqualTo(-2);
    byte[] large = new byte[16 << 20];
    large[12345] = 7;
    first.set("large", large);
    assertThat(jobs.get(1).store().get("large", LONG)).isEqualTo(large);
    assertThatThrownBy(() -> first.set("larger", new byte[(16 << 20) + 1]))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("maxValueBytes=16777216");
    first.set("text", "x".getBytes(UTF_8));
    assertThatThrownBy(() -> first.add("text", 1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("no counter");

    jobs.forEach(Job::close);
    assertThat(server.awaitFarewells(LONG)).isTrue();
    assertThat(server.failure()).isEmpty();
    assertThat(temp.resolve("job")).exists();
    assertThatThrownBy(() -> first.set("late", new byte[0])).isInstanceOf(TransportException.class);
  }

  @Test
  void rankZeroHostsTheStoreUnderTorchrun() {
    int port = Ports.free();
    List<Job> jobs = joinAll(torchrun(2, port).stream().map(Ranks::config).toList());
    Path folder = jobs.get(0).directory();
    assertThat(folder).isEqualTo(jobs.get(1).directory()).isDirectory();
    jobs.get(1).store().set("key", new byte[] {3});
    assertThat(jobs.get(0).store().get("key", LONG)).containsExactly(3);

    // Rank 0 leaves first; the store stays until rank 1 has left.
    CompletableFuture<Void> closing = CompletableFuture.runAsync(jobs.get(0)::close);
    assertThat(jobs.get(1).store().add("lockstep/directory/0/left", 0)).isBetween(0L, 1L);
    assertThat(closing).isNotDone();
    jobs.get(1).close();
    closing.join();
    assertThat(folder).doesNotExist();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "SLURM_PROCID SLURM_NTASKS SLURM_NNODES=1 SLURM_JOB_ID=77",
        "OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_LOCAL_SIZE=2",
        "PMI_RANK PMI_SIZE MPI_LOCALNRANKS=2",
        "JOB_COMPLETION_INDEX WORLD_SIZE MASTER_ADDR=127.0.0.1"
      })
  void ranksOfOtherLaunchersMeetToo(String names) {
    String[] name = names.split(" ", -1);
    String port = Integer.toString(Ports.free());
    List<JobConfig> configs = new ArrayList<>();
    for (int rank = 0; rank < 2; rank++) {
      Map<String, String> variables = new HashMap<>();
      variables.put(name[0], Integer.toString(rank));
      variables.put(name[1], "2");
      for (String more : List.of(name).subList(2, name.length)) {
        String[] pair = more.split("=", 2);
        variables.put(pair[0], pair[1]);
      }
      variables.put(JobVariables.STORE_PORT, port);
      variables.put(JobVariables.TOKEN_FILE, Ranks.tokenFile(temp, Ranks.TOKEN).toString());
      configs.add(Ranks.config(variables));
    }
    List<Job> jobs = joinAll(configs);
    assertThat(jobs).extracting(Job::rank).containsExactly(0, 1);
    assertThat(jobs).extracting(Job::localRank).containsExactly(0, 1);
    assertThat(jobs).extracting(Job::localWorldSize).containsOnly(2);
    assertThat(jobs).extracting(Job::nodes).containsOnly(1);
  }

  @Test
  void aLeftOverTokenOfAnEarlierJobDoesNoHarm() throws Exception {
    Path runtime = Files.createDirectory(temp.resolve("run"), PrivateMode.folder());
    Path folder = Files.createDirectory(runtime.resolve("lockstep"), PrivateMode.folder());
    int port = Ports.free();
    Path left = folder.resolve("store-" + port + ".token");
    Files.writeString(left, "left by a job that was killed");
    List<Map<String, String>> variables = torchrun(2, port);
    variables.forEach(v -> v.put("XDG_RUNTIME_DIR", runtime.toString()));

    CompletableFuture<Job> early =
        CompletableFuture.supplyAsync(() -> Job.join(Ranks.config(variables.get(1))));
    joinAll(List.of(Ranks.config(variables.get(0))));
    open.add(early.join());
    assertThat(Files.readString(left)).matches("[0-9a-f]{64}");
    close();
    assertThat(left).doesNotExist();
  }

  @Test
  void aTokenThatAnotherJobHasLeftAtThePortIsNotTaken() throws Exception {
    Path runtime = Files.createDirectory(temp.resolve("run"), PrivateMode.folder());
    Path folder = Files.createDirectory(runtime.resolve("lockstep"), PrivateMode.folder());
    Map<String, String> variables = torchrun(2, Ports.free()).get(0);
    variables.put("XDG_RUNTIME_DIR", runtime.toString());
    List<TokenSource> tokens = new ArrayList<>();
    String shared = "n".repeat(200);
    for (String job : List.of("a/1", "a_1", "b", shared + 1, shared + 2)) {
      variables.put("TORCHELASTIC_RUN_ID", job);
      tokens.add(JobToken.find(LaunchEnvironment.of(variables), new Variables(variables)));
    }
    for (TokenSource mine : tokens) {
      mine.publish(mine.make());
      assertThat(tokens).filteredOn(token -> token.read().isPresent()).containsExactly(mine);
      mine.remove();
    }
    tokens.getFirst().publish(tokens.getFirst().make());
    try (Stream<Path> files = Files.list(folder)) {
      assertThat(files).hasSize(1);
    }
  }

  @Test
  void oneRanksFailureIsSeenByAllWithItsStack() {
    StoreServer server = agent(3);
    List<Job> jobs = joinAtAgent(server, 3);
    CompletableFuture<byte[]> waiting =
        CompletableFuture.supplyAsync(() -> jobs.get(2).store().get("never", LONG));
    long start = System.nanoTime();
    jobs.get(1).fail(new ArithmeticException("boom"), "all_reduce#4");
    assertThatThrownBy(waiting::join)
        .isInstanceOf(CompletionException.class)
        .cause()
        .isInstanceOfSatisfying(
            JobFailedException.class, e -> assertThat(e.failure().rank()).isEqualTo(1))
        .hasMessageContaining("activity=all_reduce#4");
    assertThat(Duration.ofNanos(System.nanoTime() - start))
        .as(MachineLoad::now)
        .isLessThan(LONG.dividedBy(2)); // not at the end of the wait
    jobs.get(0).fail(new IllegalStateException("second"), "");
    for (Job job : jobs) {
      FailureRecord failure = job.failure().orElseThrow();
      assertThat(failure.kind()).isEqualTo("ArithmeticException");
      assertThat(failure.stack()).contains("oneRanksFailureIsSeenByAllWithItsStack");
    }
    assertThat(server.failure()).isEqualTo(jobs.get(0).failure());
    assertThatThrownBy(() -> jobs.get(0).store().peek("x")).isInstanceOf(JobFailedException.class);
  }

  @Test
  void theAgentsWordReachesTheRanks() {
    StoreServer server = agent(1);
    List<Job> jobs = joinAtAgent(server, 1);
    List<FailureRecord> seen = new ArrayList<>();
    CompletableFuture<FailureRecord> told = new CompletableFuture<>();
    server.onFailure(told::complete);
    server.fail(new FailureRecord(-1, "h", "ProcessExit", "code=3", "", "", 1));
    seen.add(told.join());
    assertThatThrownBy(() -> jobs.get(0).store().get("never", LONG))
        .isInstanceOf(JobFailedException.class)
        .hasMessageContaining("code=3");
    assertThat(seen).extracting(FailureRecord::message).containsExactly("code=3");
  }

  @Test
  void whomADeadlineMissedReachesTheRanksAsData() {
    StoreServer server = agent(2);
    List<Job> jobs = joinAtAgent(server, 2);
    var late = new CollectiveTimeoutException("barrier", 0, 3, 9, 8, List.of(1), "late", null);
    jobs.get(0).fail(late, "");
    assertThatThrownBy(() -> jobs.get(1).store().get("never", LONG))
        .isInstanceOfSatisfying(
            JobFailedException.class,
            failed ->
                assertThat(failed.failure().particulars())
                    .isEqualTo(new Particulars.MissingRanks(List.of(1))));
  }

  @Test
  void ranksThatTheJobDoesNotHaveAreNotNamed() {
    StoreServer server = agent(2);
    Particulars strangers = new Particulars.MissingRanks(List.of(1, 2));
    server.fail(new FailureRecord(0, "h", "K", "late", "", "", 1, strangers));
    assertThat(server.failure().orElseThrow())
        .isEqualTo(new FailureRecord(0, "h", "K", "late", "", "", 1));
  }

  @Test
  void aRankThatLeavesProperlyFailsNobody() {
    StoreServer server = agent(2);
    List<Job> jobs = joinAtAgent(server, 2);
    jobs.get(0).close();
    jobs.get(1).store().set("still", new byte[] {1});
    assertThat(server.failure()).isEmpty();
    assertThat(jobs.get(1).failure()).isEmpty();
  }

  @Test
  void joinNamesTheMissingRanksAndTellsTheOthers() {
    StoreServer server = agent(4);
    Map<String, String> first = Ranks.ofAgent(temp, server.port(), 1, 4);
    Map<String, String> second = Ranks.ofAgent(temp, server.port(), 2, 4);
    CompletableFuture<Job> patient =
        CompletableFuture.supplyAsync(() -> Job.join(Ranks.config(second)));
    assertThatThrownBy(() -> Job.join(Ranks.config(first).withJoinTimeout(Duration.ofMillis(1500))))
        .isInstanceOfSatisfying(
            CollectiveTimeoutException.class,
            e -> assertThat(e.missingRanks()).containsExactly(0, 3))
        .hasMessageContaining("arrivedRanks=[1, 2], missingRanks=[0, 3]");
    assertThatThrownBy(patient::join)
        .cause()
        .isInstanceOf(JobFailedException.class)
        .hasMessageContaining("missingRanks=[0, 3]");
  }

  @Test
  void withoutAStoreJoinNamesItsHost() {
    Map<String, String> variables = torchrun(2, Ports.free()).get(1);
    JobConfig config = Ranks.config(variables).withJoinTimeout(Duration.ofMillis(300));
    assertThatThrownBy(() -> Job.join(config))
        .isInstanceOf(CollectiveTimeoutException.class)
        .hasMessageContaining("missingRanks=[0]");
    Map<String, String> ofAgent = Ranks.ofAgent(temp, Ports.free(), 0, 2);
    assertThatThrownBy(
            () -> Job.join(Ranks.config(ofAgent).withJoinTimeout(Duration.ofMillis(300))))
        .isInstanceOf(TransportException.class)
        .hasMessageContaining("agent of node 0");
  }

  @Test
  void whoDoesNotBelongIsRefusedAndTheJobGoesOn() {
    StoreServer server = agent(2);
    List<Job> jobs = joinAtAgent(server, 2);
    refused(Ranks.ofAgent(temp, server.port(), 1, 2), "RANK", "rank is taken: rank=1");
    refused(Ranks.ofAgent(temp, server.port(), 2, 3), "WORLD_SIZE", "worldSize=3, jobWorldSize=2");
    Map<String, String> wrongToken = Ranks.ofAgent(temp, server.port(), 1, 2);
    wrongToken.put(
        JobVariables.TOKEN_FILE, Ranks.tokenFile(temp, "another job's secret").toString());
    refused(wrongToken, JobVariables.TOKEN_FILE, "token differs");
    assertThat(jobs.get(0).store().add("still", 1)).isEqualTo(1);
    assertThat(server.failure()).isEmpty();
  }

  @Test
  void aRankThatHasLeftIsToldThatAnAgentsStoreServesOneJob() {
    StoreServer server = agent(2);
    List<Job> jobs = joinAtAgent(server, 2);
    jobs.get(1).close();
    refused(
        Ranks.ofAgent(temp, server.port(), 1, 2), "RANK", "rank has left this job already: rank=1");
    assertThat(jobs.get(0).store().add("still", 1)).isEqualTo(1);
    assertThat(server.failure()).isEmpty();
  }

  @Test
  void aRankThatHasLeftJoinsTheNextJobOnceRankZeroHasLeftToo() {
    List<Map<String, String>> variables = torchrun(2, Ports.free());
    List<Job> jobs = joinAll(variables.stream().map(Ranks::config).toList());
    jobs.get(1).close();
    JobConfig again = Ranks.config(variables.get(1));
    assertThatThrownBy(() -> Job.join(again.withJoinTimeout(Duration.ofMillis(300))))
        .isInstanceOf(CollectiveTimeoutException.class);
    CompletableFuture<Job> next = CompletableFuture.supplyAsync(() -> Job.join(again));
    jobs.get(0).close();
    joinAll(List.of(Ranks.config(variables.get(0))));
    Job joined = next.join();
    open.add(joined);
    assertThat(joined.id()).isNotEqualTo(jobs.get(1).id());
  }

  @Test
  void aRankOfAnotherJobIsRefused() {
    StoreOptions options =
        StoreOptions.of("127.0.0.1", 0, 1, JobConfig.DEFAULT_LIVENESS).withJobName("mine");
    StoreServer server = StoreServer.start(options, Ranks.TOKEN.getBytes(UTF_8));
    open.add(server);
    Map<String, String> variables = Ranks.ofAgent(temp, server.port(), 0, 1);
    variables.put("TORCHELASTIC_RUN_ID", "other");
    refused(variables, "TORCHELASTIC_RUN_ID", "job=other, storeOfJob=mine");
    variables.put("TORCHELASTIC_RUN_ID", "mine");
    joinAll(List.of(Ranks.config(variables)));
  }

  private static void refused(Map<String, String> variables, String key, String message) {
    assertThatThrownBy(() -> Job.join(Ranks.config(variables)))
        .isInstanceOfSatisfying(
            ConfigurationException.class, e -> assertThat(e.key()).isEqualTo(key))
        .hasMessageContaining(message);
  }

  @Test
  void aJobThatSpansNodesNeedsAToken() {
    Map<String, String> variables = new HashMap<>(torchrun(2, Ports.free()).get(0));
    variables.put("LOCAL_WORLD_SIZE", "1");
    variables.put("GROUP_WORLD_SIZE", "2");
    refused(variables, JobVariables.TOKEN_FILE, "job has no token");
  }

  @ParameterizedTest
  @ValueSource(strings = {"127.0.1.1", "::1"})
  void ranksOfTheStoresNodeReachItAtWhicheverLoopbackItListens(String address) {
    assumeTrue(isBindable(address), "judge IPv6: this machine has no such address: " + address);
    StoreOptions options = StoreOptions.of(address, 0, 1, JobConfig.DEFAULT_LIVENESS);
    StoreServer server = StoreServer.start(options, Ranks.TOKEN.getBytes(UTF_8));
    open.add(server);
    assertThat(joinAtAgent(server, 1)).extracting(Job::rank).containsExactly(0);
  }

  @Test
  void aStoreForOtherNodesAlsoListensAtLoopback() throws Exception {
    InetAddress mine = ownAddress();
    assumeFalse(mine.isLoopbackAddress(), "this machine has no address but loopback");
    StoreOptions options = StoreOptions.of(mine.getHostAddress(), 0, 2, JobConfig.DEFAULT_LIVENESS);
    StoreServer server = StoreServer.start(options, Ranks.TOKEN.getBytes(UTF_8));
    open.add(server);
    List<JobConfig> configs = new ArrayList<>();
    for (int node = 0; node < 2; node++) {
      Map<String, String> variables = Ranks.ofAgent(temp, server.port(), node, 2);
      variables.put("LOCAL_RANK", "0");
      variables.put("LOCAL_WORLD_SIZE", "1");
      variables.put("GROUP_RANK", Integer.toString(node));
      variables.put("GROUP_WORLD_SIZE", "2");
      variables.put("MASTER_ADDR", mine.getHostAddress());
      configs.add(Ranks.config(variables));
    }
    List<Job> jobs = joinAll(configs);
    assertThat(jobs)
        .extracting(job -> job.transportContext().bindAddress())
        .containsOnly(mine.getHostAddress());
  }

  @Test
  void aHostedStoreCleansUpWhileItsPortIsItsOwn() {
    StoreServer server = agent(1);
    int port = server.port();
    List<Boolean> free = new ArrayList<>();
    new HostedStore(server, () -> free.add(isFree(port)), Duration.ofMillis(1)).close(true);
    free.add(isFree(port));
    assertThat(free).containsExactly(false, true);
  }

  private static boolean isFree(int port) {
    try (ServerSocket _ = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
      return true;
    } catch (IOException _) {
      return false;
    }
  }

  private static boolean isBindable(String address) {
    try (ServerSocket _ = new ServerSocket(0, 1, InetAddress.getByName(address))) {
      return true;
    } catch (IOException _) {
      return false;
    }
  }

  private static InetAddress ownAddress() throws IOException {
    return NetworkInterface.networkInterfaces()
        .flatMap(NetworkInterface::inetAddresses)
        .filter(address -> address instanceof Inet4Address && !address.isLoopbackAddress())
        .findFirst()
        .orElse(InetAddress.getLoopbackAddress());
  }

  @Test
  void aTokenThatOthersCanReadIsRefused() throws Exception {
    Map<String, String> variables = Ranks.ofAgent(temp, 1, 0, 1);
    Path token = Path.of(variables.get(JobVariables.TOKEN_FILE));
    Files.setPosixFilePermissions(token, PosixFilePermissions.fromString("rw-r-----"));
    refused(variables, JobVariables.TOKEN_FILE, "mode=rw-r-----");
  }

  @Test
  void aPortThatIsTakenIsNamed() {
    StoreServer server = agent(1);
    List<Map<String, String>> variables = torchrun(2, server.port());
    refused(variables.get(0), JobVariables.STORE_PORT, "port=" + server.port());
  }

  @Test
  void twoJobsOfOneJvmDoNotMeet() {
    StoreServer one = agent(2);
    StoreServer other = agent(2);
    List<Job> ones = joinAtAgent(one, 2);
    List<Job> others = joinAtAgent(other, 2);
    ones.get(0).fail(new ArithmeticException(), "");
    assertThatThrownBy(() -> ones.get(1).store().get("never", LONG))
        .isInstanceOf(JobFailedException.class);
    others.get(0).store().set("key", new byte[1]);
    assertThat(others.get(1).store().peek("key")).isPresent();
    assertThat(others.get(1).failure()).isEmpty();
    assertThat(other.failure()).isEmpty();
  }

  @Test
  void twoAgentsOnOneMachineAreTwoHosts() {
    StoreServer server = agent(3);
    List<JobConfig> configs = new ArrayList<>();
    for (int rank = 0; rank < 3; rank++) {
      Map<String, String> variables = Ranks.ofAgent(temp, server.port(), rank, 3);
      variables.put("LOCAL_RANK", rank == 2 ? "0" : Integer.toString(rank));
      variables.put("LOCAL_WORLD_SIZE", rank == 2 ? "1" : "2");
      variables.put("GROUP_RANK", rank == 2 ? "1" : "0");
      variables.put(JobVariables.NODE_ADDRESS, "127.0.0.1");
      variables.put("GROUP_WORLD_SIZE", "2");
      configs.add(Ranks.config(variables));
    }
    List<Job> jobs = joinAll(configs);
    assertThat(jobs.get(2).transportContext().bindAddress()).isEqualTo("127.0.0.1");
    List<String> hosts = jobs.get(0).hosts();
    assertThat(hosts.get(0)).isEqualTo(hosts.get(1)).isNotEqualTo(hosts.get(2));
    assertThat(jobs).extracting(Job::nodeRank).containsExactly(0, 0, 1);
    assertThat(jobs.get(2).transportContext().localLeader()).isTrue();
    assertThat(jobs.get(1).transportContext().localLeader()).isFalse();
    assertThat(jobs.get(0).transportContext().isOneHost()).isFalse();
  }
}
