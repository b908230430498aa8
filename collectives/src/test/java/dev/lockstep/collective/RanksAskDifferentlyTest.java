package dev.lockstep.collective;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lockstep.collective.agreement.Agreement;
import dev.lockstep.collective.execute.Members;
import dev.lockstep.collective.request.Mode;
import dev.lockstep.deadline.Deadline;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.transport.Faults;
import dev.lockstep.transport.TransportProvider;
import dev.lockstep.transport.inprocess.FaultyProvider;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/// What all ranks find wrong with what they ask for is said on every rank, though the first that
/// leaves fails the job.
@Timeout(30)
final class RanksAskDifferentlyTest {
  private static final int RANKS = 8;
  private static final int MUCH = 100_000;
  private static final Duration SOON = Duration.ofSeconds(10);

  private static List<Job> jobs(int ranks) {
    return Job.inProcess(
        ranks, new JobConfig(Map.of(), SOON, Duration.ofSeconds(2), Long.MAX_VALUE));
  }

  /// Lets every rank ask; the last one for something else.
  private static List<Throwable> failures(UnaryOperator<CommunicatorOptions> last)
      throws Exception {
    return failures(usual -> usual, last, Thread.currentThread().getContextClassLoader());
  }

  /// Lets every rank ask; the last one with plug-ins of its own.
  ///
  /// @param plugins what its thread finds plug-ins by
  private static List<Throwable> failures(
      UnaryOperator<CommunicatorOptions> first,
      UnaryOperator<CommunicatorOptions> last,
      ClassLoader plugins)
      throws Exception {
    List<Job> jobs = jobs(RANKS);
    List<Future<Throwable>> asked = new ArrayList<>();
    try (ExecutorService threads = Executors.newCachedThreadPool()) {
      for (Job job : jobs) {
        CommunicatorOptions usual = SameBitsTest.over("in-process");
        boolean isLast = job.rank() == RANKS - 1;
        CommunicatorOptions own = isLast ? last.apply(usual) : first.apply(usual);
        asked.add(
            threads.submit(
                () -> {
                  if (isLast) {
                    Thread.currentThread().setContextClassLoader(plugins);
                  }
                  return failure(job, own);
                }));
      }
      List<Throwable> failures = new ArrayList<>();
      for (Future<Throwable> each : asked) {
        failures.add(each.get());
      }
      return failures;
    } finally {
      jobs.forEach(Job::close);
    }
  }

  /// As a rank's work that throws fails its job.
  private static Throwable failure(Job job, CommunicatorOptions options) {
    try (Communicator _ = Communicator.world(job, options)) {
      return new AssertionError("rank %d has a communicator".formatted(job.rank()));
    } catch (RuntimeException failure) {
      job.fail(failure, "testing");
      return failure;
    }
  }

  @Test
  void everyRankSaysThatModesDiffer() throws Exception {
    assertThat(failures(usual -> usual.withMode(Mode.RELAXED)))
        .allSatisfy(
            failure ->
                assertThat(failure)
                    .isInstanceOf(ConfigurationException.class)
                    .hasMessageContaining("mode=RELAXED")
                    .hasMessageContaining("mode=SAME_BITS"));
  }

  @Test
  void everyRankSaysThatTransportsDiffer() throws Exception {
    assertThat(failures(usual -> usual.withTransport("shm")))
        .allSatisfy(
            failure ->
                assertThat(failure)
                    .isInstanceOf(ConfigurationException.class)
                    .hasMessageContaining("--transport=shm")
                    .hasMessageContaining("--transport=in-process"));
  }

  /// A transport that one rank alone has on its class path.
  public static final class LonelyProvider extends FaultyProvider {
    /// Made by [java.util.ServiceLoader].
    public LonelyProvider() {
      super("lonely", Faults.unsteady(44));
    }
  }

  @Test
  void everyRankSaysThatATransportIsNotInstalledOnAnother(@TempDir Path folder) throws Exception {
    Path services = Files.createDirectories(folder.resolve("META-INF/services"));
    Files.writeString(
        services.resolve(TransportProvider.class.getName()), LonelyProvider.class.getName());
    URL[] urls = {folder.toUri().toURL()};
    try (URLClassLoader plugins = new URLClassLoader(urls, getClass().getClassLoader())) {
      UnaryOperator<CommunicatorOptions> lonely = usual -> usual.withTransport("lonely");
      assertThat(failures(lonely, lonely, plugins))
          .allSatisfy(
              failure ->
                  assertThat(failure)
                      .isInstanceOf(ConfigurationException.class)
                      .hasMessageContaining("--transport=lonely")
                      .hasMessageContaining("lonely on rank 0: it is not installed there"));
    }
  }

  @Test
  void everyRankSaysThatThereIsNoSuchTransport() throws Exception {
    UnaryOperator<CommunicatorOptions> unknown = usual -> usual.withTransport("pigeons");
    assertThat(failures(unknown, unknown, getClass().getClassLoader()))
        .allSatisfy(
            failure ->
                assertThat(failure)
                    .isInstanceOf(ConfigurationException.class)
                    .hasMessageContaining("there is no such transport (use one of in-process, "));
  }

  private static boolean waits(Thread thread) {
    return thread.getState() == Thread.State.TIMED_WAITING
        && FailureTest.isInside(thread, Agreement.class);
  }

  /// The first rank has much to take back: the job fails before it is through with that.
  @Test
  void whoHasEveryAnswerKeepsItThoughTheJobFails() throws Exception {
    List<Job> jobs = jobs(2);
    try (ExecutorService threads = Executors.newCachedThreadPool()) {
      Job first = jobs.get(0);
      Job last = jobs.get(1);
      Agreement agreement = new Agreement(first, Members.all(first), 7);
      for (int said = 0; said < MUCH; said++) {
        var _ = agreement.first("said/" + said, "", SOON);
      }
      AtomicReference<Thread> asks = new AtomicReference<>();
      Future<List<String>> answers =
          threads.submit(
              () -> {
                asks.set(Thread.currentThread());
                return agreement.exchange("what", "first", SOON);
              });
      Deadline.until(() -> asks.get() != null && waits(asks.get()));
      last.store().set("collective/7/what/1", new byte[] {'2'});
      last.fail(new IllegalStateException("out of ideas"), "testing");
      assertThat(answers.get()).containsExactly("first", "2");
    } finally {
      jobs.forEach(Job::close);
    }
  }
}
