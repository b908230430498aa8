package dev.lockstep.train;

import dev.lockstep.failure.CollectiveAbortedException;
import dev.lockstep.failure.RankLostException;
import dev.lockstep.failure.TransportException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.job.JobFailedException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// Ranks of one job as threads of this JVM.
final class InProcessRanks {
  private InProcessRanks() {}

  /// Runs every rank on a thread of its own and returns what they return, in rank order. A rank
  /// that throws fails the job, so that the others end too. Thrown here is what a rank found wrong,
  /// if one did, else the first failure by rank that is not of another's; the others are suppressed
  /// in it.
  static <T> List<T> run(int ranks, Function<Job, T> work) throws Exception {
    return run(ranks, JobConfig.of(Map.of()), work);
  }

  /// Runs as [#run(int, Function)], in a job of a configuration.
  static <T> List<T> run(int ranks, JobConfig config, Function<Job, T> work) throws Exception {
    List<Job> jobs = Job.inProcess(ranks, config);
    try (ExecutorService threads = Executors.newFixedThreadPool(ranks, RankThread::new)) {
      List<Future<T>> futures = new ArrayList<>();
      for (Job job : jobs) {
        futures.add(threads.submit(() -> runOne(job, work)));
      }
      List<T> results = new ArrayList<>();
      List<Throwable> failures = new ArrayList<>();
      for (Future<T> future : futures) {
        try {
          results.add(future.get());
        } catch (ExecutionException e) {
          failures.add(Objects.requireNonNullElse(e.getCause(), e));
        }
      }
      if (failures.isEmpty()) {
        return results;
      }
      throw thrown(failures);
    }
  }

  private static Exception thrown(List<Throwable> failures) {
    Throwable first = Collections.min(failures, Comparator.comparingInt(InProcessRanks::place));
    failures.remove(first);
    failures.forEach(first::addSuppressed);
    if (first instanceof AssertionError wrong) {
      throw wrong;
    }
    return first instanceof Exception cause ? cause : new ExecutionException(first);
  }

  /// What only says that another rank has failed comes last.
  private static int place(Throwable failure) {
    return switch (failure) {
      case AssertionError _ -> 0;
      case RankLostException _,
          JobFailedException _,
          CollectiveAbortedException _,
          TransportException _ ->
          2;
      default -> 1;
    };
  }

  private static <T> T runOne(Job job, Function<Job, T> work) {
    try (job) {
      try {
        return work.apply(job);
      } catch (RuntimeException | Error failure) {
        job.fail(failure, "");
        if (Thread.currentThread() instanceof RankThread mine && mine.interruption != null) {
          failure.addSuppressed(mine.interruption);
        }
        throw failure;
      }
    }
  }

  /// A thread that remembers who interrupted it: nothing here means to.
  private static final class RankThread extends Thread {
    private volatile @Nullable Throwable interruption;

    RankThread(Runnable work) {
      super(work);
    }

    @Override
    public void interrupt() {
      if (Thread.currentThread() != this) {
        interruption = new Throwable("interrupted by " + Thread.currentThread().getName());
      }
      super.interrupt();
    }
  }
}
