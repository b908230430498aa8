package dev.lockstep.job;

import dev.lockstep.failure.RankLostException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.memory.MemoryPool;
import dev.lockstep.memory.Scope;
import dev.lockstep.transport.TransportContext;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/// One rank's membership of a training job. Thread-safe.
///
/// A rank that dies without [#close] fails the job: every other rank learns of it within a second.
/// Nobody learns why a rank closes: where its work throws, [#run(JobWork)] fails the job before it
/// leaves it, and who joins by himself has to [#fail] it.
///
/// ```java
/// Job.run(job -> System.out.println("rank " + job.rank() + " of " + job.worldSize()));
/// ```
public final class Job implements AutoCloseable {
  // How long a failure that only says "my peer is gone" waits for the word of who knows better.
  private static final Duration SECOND_HAND_PATIENCE = Duration.ofMillis(250);

  private final Placement placement;
  private final Membership membership;
  private final MemoryPool memory;
  private final JobDirectory directory;
  private final int sharers;
  private final List<Integer> own = Processors.own();
  private final @Nullable Path errorFile;
  private final TransportContext transportContext;
  private final LateClosings lateClosings = new LateClosings();
  private final AtomicBoolean closed = new AtomicBoolean();
  private final AtomicReference<@Nullable StopRequest> stop = new AtomicReference<>();
  private volatile String activity = "";

  private Job(Placement placement, Membership membership, JobConfig config, int sharers) {
    this.placement = placement;
    this.membership = membership;
    this.sharers = sharers;
    String pool = "rank-" + placement.rank();
    this.memory =
        config.leakDetection()
            ? MemoryPool.tracking(pool, config.memoryBudgetBytes())
            : MemoryPool.root(pool, config.memoryBudgetBytes());
    this.directory =
        JobDirectory.open(config.environment(), membership, placement, config.joinTimeout());
    String file = config.environment().get("TORCHELASTIC_ERROR_FILE");
    this.errorFile = file == null || file.isBlank() ? null : Path.of(file);
    this.transportContext =
        new TransportContext(
            membership.jobId(),
            placement.rank(),
            placement.hosts(),
            membership.bindAddress(),
            directory.path(),
            placement.isLocalLeader(),
            membership.store(),
            memory,
            membership.liveness());
  }

  /// Joins the job that this process was started for and waits for its other ranks.
  ///
  /// @throws dev.lockstep.failure.LockstepException as [#join(JobConfig)]
  public static Job join() {
    return join(JobConfig.fromEnvironment());
  }

  /// Joins the job that the configuration's environment describes; with no launcher's variables, a
  /// job of one rank. Blocks until all ranks have met.
  ///
  /// A store serves one job. Under `lockstep run`, whose agent has the store, a rank joins once:
  /// what it does one after another it does in one job. Under other launchers, where rank 0 has the
  /// store, all ranks may leave a job and join the next.
  ///
  /// @throws dev.lockstep.failure.ConfigurationException if the environment contradicts itself or
  ///   the job refuses this rank
  /// @throws dev.lockstep.failure.CollectiveTimeoutException if ranks are missing after
  ///   [JobConfig#joinTimeout]; it names them
  /// @throws JobFailedException if a rank fails while joining
  public static Job join(JobConfig config) {
    LaunchEnvironment launch = LaunchEnvironment.of(config.environment());
    if (launch.storePort() < 0) {
      return inProcess(1, config).getFirst();
    }
    LaunchedJob joined = LaunchedJob.join(launch, config);
    try {
      return new Job(joined.placement(), joined.membership(), config, sharers(joined, config));
    } catch (RuntimeException | Error failure) {
      Placement place = joined.placement();
      FailureRecord record = FailureRecords.of(place.rank(), place.host(), failure, "join");
      Scope.afterFailure(failure, () -> joined.membership().report(record));
      Scope.afterFailure(failure, joined.membership()::leave);
      throw failure;
    }
  }

  private static int sharers(LaunchedJob joined, JobConfig config) {
    Store store = joined.membership().store();
    String allowed = Processors.allowed();
    return Processors.sharers(store, joined.placement(), allowed, config.joinTimeout());
  }

  /// Does a rank's work in the job that this process was started for.
  ///
  /// @throws E as [#run(JobConfig, JobWork)]
  public static <E extends Exception> void run(JobWork<E> work) throws E {
    run(JobConfig.fromEnvironment(), work);
  }

  /// Joins a job, does this rank's work in it and leaves it. What the work throws fails the job
  /// before it is left, so that the other ranks end within a second or two and name it.
  ///
  /// @throws E what the work throws, as unchecked exceptions and errors are
  /// @throws dev.lockstep.failure.LockstepException as [#join(JobConfig)]
  public static <E extends Exception> void run(JobConfig config, JobWork<E> work) throws E {
    try (Job job = join(config)) {
      try {
        work.run(job);
      } catch (Throwable failure) { // whatever it is, the other ranks must learn of it
        Scope.afterFailure(failure, () -> job.fail(failure, ""));
        throw failure;
      }
    }
  }

  /// Returns the ranks of a job that lives in this JVM alone, to be used by one thread each. Each
  /// rank has the whole memory budget to itself.
  public static List<Job> inProcess(int ranks, JobConfig config) {
    if (ranks < 1) {
      throw new IllegalArgumentException("a job needs a rank: ranks=" + ranks);
    }
    List<String> hosts = Collections.nCopies(ranks, HostName.local());
    List<Membership> members = LocalMembership.of(ranks, config.liveness());
    List<Job> jobs = new ArrayList<>();
    try {
      for (int rank = 0; rank < ranks; rank++) {
        Placement placement = new Placement(rank, ranks, rank, ranks, 0, 1, hosts);
        jobs.add(new Job(placement, members.get(rank), config, ranks));
      }
      return jobs;
    } catch (RuntimeException | Error failure) {
      int rank = jobs.size();
      members.get(rank).report(FailureRecords.of(rank, hosts.get(rank), failure, "join"));
      jobs.forEach(job -> Scope.afterFailure(failure, job::close));
      throw failure;
    }
  }

  /// Returns this rank, from 0.
  public int rank() {
    return placement.rank();
  }

  /// Returns the number of ranks.
  public int worldSize() {
    return placement.worldSize();
  }

  /// Returns this rank's number among those of its node.
  public int localRank() {
    return placement.localRank();
  }

  /// Returns the number of ranks on this node.
  public int localWorldSize() {
    return placement.localWorldSize();
  }

  /// Returns how many threads this rank may compute with: the processors that it may run on,
  /// divided among the ranks of its host that may run on the same ones; at least 1. Ranks that a
  /// launcher has bound to processors of their own have each all of theirs.
  public int processors() {
    return Processors.share(sharers);
  }

  /// Returns whether this rank can have a processor to itself while so many ranks of its host, this
  /// one included, compute: there are as many processors that it may run on as ranks that may run
  /// there. So has each of a number of ranks where each says so.
  ///
  /// @param ranks on this host; those that a launcher has bound elsewhere do not count
  public boolean mayHaveProcessor(int ranks) {
    int seen = Runtime.getRuntime().availableProcessors();
    return Processors.suffice(Math.min(ranks, sharers), seen, own);
  }

  /// Returns this node, from 0.
  public int nodeRank() {
    return placement.nodeRank();
  }

  /// Returns the number of nodes.
  public int nodes() {
    return placement.nodes();
  }

  /// Returns the job's number: the same on all ranks, different for every start of a job. A secret
  /// of its ranks, as who knows it may speak for one on some wires: do not log it.
  public long id() {
    return membership.jobId();
  }

  /// Returns the name of this rank's host.
  public String host() {
    return placement.host();
  }

  /// Returns for each rank the name of its host; ranks with equal names share memory.
  public List<String> hosts() {
    return placement.hosts();
  }

  /// Returns the job's store; closed with the job.
  public Store store() {
    return membership.store();
  }

  /// Returns the pool that this rank's off-heap memory is charged to.
  public MemoryPool memory() {
    return memory;
  }

  /// Returns the job's private folder on this host (mode 0700), shared by its ranks and gone after
  /// the job.
  public Path directory() {
    return directory.path();
  }

  /// Returns what removes [#directory] if the process ends before this rank has left the job, and
  /// takes the job's own shutdown hook away, which does that. For a hook that lets the work save
  /// and leave first: hooks run side by side.
  public Runnable takeOverExit() {
    return directory.takeOverExit();
  }

  /// Returns what says whether this process has been asked to end since this was called: by
  /// SIGTERM, SIGINT or [System#exit]. The process then ends when this rank has left the job, or
  /// after `patience`: so the work looks, saves what it wants to keep, and returns. What the
  /// program does after the job may be cut short, and work that calls [System#exit] itself holds
  /// the end up for the whole patience: it cannot leave any more. A volatile read: may be polled.
  ///
  /// ```java
  /// BooleanSupplier stop = job.stopSignal(Duration.ofSeconds(30));
  /// trainer.train(TrainingRun.savingTo(checkpoint).stoppingWhen(stop));
  /// ```
  ///
  /// Ranks may see it at different moments, or some of them alone: work that communicates must
  /// agree on where it stops, as training does. Under `lockstep run` jobs ask their context
  /// instead: the launcher has a patience of its own.
  ///
  /// @param patience how long the work may take to leave
  /// @throws IllegalArgumentException if it is not positive
  /// @throws IllegalStateException if this rank has a signal already or has left the job, or the
  ///   process is ending
  public BooleanSupplier stopSignal(Duration patience) {
    if (!patience.isPositive()) {
      throw new IllegalArgumentException(
          "time to stop is not positive: rank=%d, patience=%s".formatted(rank(), patience));
    }
    StopRequest made = new StopRequest(patience, directory.takeOverExit());
    if (closed.get() || !stop.compareAndSet(null, made)) {
      throw new IllegalStateException(
          "rank has a stop signal already, or has left the job: rank=" + rank());
    }
    made.install();
    if (closed.get()) {
      made.left();
    }
    return made::isRequested;
  }

  /// Returns how long a silent rank counts as alive.
  public Duration liveness() {
    return membership.liveness();
  }

  /// Returns what a transport of this rank needs to know.
  public TransportContext transportContext() {
    return transportContext;
  }

  /// Returns what this rank could not close together with others, to be closed with the job.
  public LateClosings lateClosings() {
    return lateClosings;
  }

  /// Returns the job's first failure, if there is one. A volatile read: may be polled.
  public Optional<FailureRecord> failure() {
    return membership.failures().first();
  }

  /// Returns what this rank noted last, or nothing.
  public String activity() {
    return activity;
  }

  /// Notes what this rank is doing; failures show it.
  public void activity(String what) {
    activity = what;
    membership.activity(what);
  }

  /// Fails the job and tells every rank, unless it has failed before: the first failure stays.
  /// Returns once it is known to the job, or after half a second where nobody can be reached.
  ///
  /// Where `TORCHELASTIC_ERROR_FILE` is set the failure is written there too.
  ///
  /// @param cause what happened; its stack is part of the record
  /// @param what what this rank was doing, or empty for the last [#activity]
  public void fail(Throwable cause, String what) {
    String doing = what.isEmpty() ? activity : what;
    FailureRecord own = FailureRecords.of(rank(), host(), cause, doing);
    FailureCell failures = membership.failures();
    if (!isSecondHand(cause) || !failures.await(SECOND_HAND_PATIENCE)) {
      membership.report(own);
    }
    FailureRecord first = failures.first().orElse(own);
    // Ranks of one JVM share the file: it is the first failure's.
    if (errorFile != null && (first.equals(own) || !Files.exists(errorFile))) {
      ErrorFile.write(errorFile, own, first);
    }
  }

  private static boolean isSecondHand(Throwable cause) {
    return cause instanceof RankLostException
        || cause instanceof TransportException
        || cause instanceof JobFailedException;
  }

  /// Says goodbye to the other ranks and frees what the job held; idempotent. What was to be closed
  /// together with late ranks waits for them, up to the [#liveness] in all. Where rank 0 has the
  /// store, which is so under other launchers, it waits until the others have left or the job has
  /// failed, up to the [JobConfig#joinTimeout].
  ///
  /// @throws IllegalStateException if memory of this rank is still allocated, unless the job has
  ///   failed; everything else is closed by then
  @Override
  public void close() {
    if (!closed.compareAndSet(false, true)) {
      return;
    }
    try (Scope leaving = new Scope()) { // from the last
      var _ = leaving.own(stop, Job::tellOfLeaving);
      var _ = leaving.own(memory, this::requireNothingLeft);
      var _ = leaving.own(membership, Membership::leave);
      var _ = leaving.own(directory, folder -> folder.leave(membership.store()));
      var _ = leaving.own(lateClosings, late -> late.close(liveness()));
    }
  }

  private static void tellOfLeaving(AtomicReference<@Nullable StopRequest> stop) {
    StopRequest asked = stop.get();
    if (asked != null) {
      asked.left();
    }
  }

  private void requireNothingLeft(MemoryPool pool) {
    if (failure().isEmpty()) {
      pool.close();
    }
  }
}
