package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.failure.Printable;
import dev.lockstep.job.ErrorFile;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.HostName;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.job.JobFailedException;
import dev.lockstep.launcher.process.Supervisor.Patience;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/// The work of one rank between joining its job and leaving it. Used once, by one thread.
final class RankRun {
  private static final int FAILED = 1;
  private static final int WRONG_INPUT = 2;

  private final JobProvider provider;
  private final List<String> arguments;
  private final Map<String, String> environment;
  private final PrintStream out;
  private final StopSignal stopSignal;
  private volatile @Nullable Job joined;
  private @Nullable FailureWatch failureWatch;

  RankRun(
      JobProvider provider,
      List<String> arguments,
      Map<String, String> environment,
      PrintStream out) {
    this.provider = provider;
    this.arguments = List.copyOf(arguments);
    this.environment = Map.copyOf(environment);
    this.out = out;
    this.stopSignal =
        new StopSignal(this::hasFailed, StopSignal.TO_ASK, StopPatience.of(environment));
  }

  StopSignal stopSignal() {
    return stopSignal;
  }

  private boolean hasFailed() {
    Job job = joined;
    return job != null && job.failure().isPresent();
  }

  /// How the work ended.
  ///
  /// @param code exit code
  /// @param failure what was thrown, or null
  /// @param worldSize number of ranks, or 0 if the job was never joined
  /// @param first the job's first failure
  private record End(
      int code, @Nullable Throwable failure, int worldSize, Optional<FailureRecord> first) {}

  /// Runs under Lockstep's own launcher, which shows what fails.
  ///
  /// @return the process's exit code
  int supervised() {
    stopSignal.installUnderLauncher();
    try {
      return work(false).code();
    } finally {
      stopSignal.done();
      if (failureWatch != null) {
        failureWatch.close();
      }
    }
  }

  /// Runs under another launcher: what fails is shown here, with its stack by the rank that failed
  /// first and in a line by the others.
  ///
  /// @return the process's exit code
  int alone(PrintStream err) {
    stopSignal.install();
    try {
      End end = work(true);
      show(end, err);
      return end.code();
    } finally {
      stopSignal.done();
    }
  }

  /// @param alone whether another launcher started this rank: then nobody has checked the
  ///   arguments, and it ends its ranks itself
  private End work(boolean alone) {
    int worldSize = 0;
    try (Job job = Job.join(JobConfig.of(environment))) {
      joined = job;
      stopSignal.afterwards(job.takeOverExit());
      worldSize = job.worldSize();
      if (!alone && job.nodeRank() > 0) {
        failureWatch = FailureWatch.start(job::failure, Patience.TO_END, this::endUnnoticed);
      }
      try {
        if (alone) {
          provider.check(arguments, worldSize);
        }
        return finished(job, provider.run(context(job), arguments));
      } catch (Throwable failure) { // whatever it is, the other ranks must learn of it
        return failed(job, code(failure), failure);
      }
    } catch (Throwable failure) { // before the job was joined, or while it was left
      stopSignal.exitCode(code(failure));
      Job left = joined;
      Optional<FailureRecord> first =
          failure instanceof JobFailedException failed
              ? Optional.of(failed.failure())
              : left == null ? Optional.empty() : left.failure();
      writeErrorFile(failure, first);
      return new End(code(failure), failure, worldSize, first);
    }
  }

  private End finished(Job job, int code) {
    return code == 0
        ? new End(0, null, job.worldSize(), Optional.empty())
        : failed(job, code, new RankExitException(job.rank(), code));
  }

  private End failed(Job job, int code, Throwable failure) {
    stopSignal.exitCode(code);
    job.fail(failure, "");
    return new End(code, failure, job.worldSize(), job.failure());
  }

  /// Ends the process as the launcher of node 0 ends its ranks. That of this node says why.
  private void endUnnoticed(FailureRecord first) {
    String file = environment.get("TORCHELASTIC_ERROR_FILE");
    if (file != null && !file.isBlank() && !Files.exists(Path.of(file))) {
      writeErrorFile(
          new JobFailedException("the end of this rank's work", first), Optional.of(first));
    }
    int code = stopSignal.exitCode();
    Runtime.getRuntime().halt(code == 0 ? FAILED : code);
  }

  private static int code(Throwable failure) {
    return failure instanceof ConfigurationException ? WRONG_INPUT : FAILED;
  }

  private RankContext context(Job job) {
    return new Context(job, stopSignal, out, columns(job), job.processors());
  }

  private OptionalInt columns(Job job) {
    String columns = environment.get(WorkerEnvironment.TERMINAL);
    if (columns != null && columns.matches("\\d{1,5}")) {
      return OptionalInt.of(Integer.parseInt(columns));
    }
    return job.rank() == 0 ? Terminal.columns() : OptionalInt.empty();
  }

  private int rank() {
    String rank = environment.getOrDefault("RANK", "0");
    return rank.matches("\\d{1,9}") ? Integer.parseInt(rank) : 0;
  }

  private void writeErrorFile(Throwable failure, Optional<FailureRecord> first) {
    String file = environment.get("TORCHELASTIC_ERROR_FILE");
    if (file != null && !file.isBlank()) {
      FailureRecord own = FailureRecord.of(rank(), HostName.local(), failure, "");
      ErrorFile.write(Path.of(file), own, first.orElse(own));
    }
  }

  private void show(End end, PrintStream err) {
    if (end.failure() == null) {
      return;
    }
    Job job = joined;
    int rank = job == null ? rank() : job.rank();
    FailureRecord own = FailureRecord.of(rank, HostName.local(), end.failure(), "");
    FailureRecord first = end.first().orElse(own);
    if (first.rank() == rank) {
      err.println(new FailureReport(first, null).text(end.worldSize()));
    } else if (!first.kind().equals(ConfigurationException.class.getSimpleName())) {
      err.println(
          "lockstep: rank %d ends, because rank %d failed: %s"
              .formatted(rank, first.rank(), Printable.line(first.message())));
    }
  }

  private record Context(
      Job job, StopSignal signal, PrintStream out, OptionalInt terminalColumns, int threads)
      implements RankContext {
    @Override
    public boolean stopRequested() {
      return signal.isRequested();
    }
  }
}
