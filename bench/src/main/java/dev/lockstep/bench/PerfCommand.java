package dev.lockstep.bench;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.lockstep.bench.step.JsonFile;
import dev.lockstep.bench.step.StepExplain;
import dev.lockstep.bench.step.StepOptions;
import dev.lockstep.bench.step.StepRun;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.launcher.Binding;
import dev.lockstep.launcher.CommandProvider;
import dev.lockstep.launcher.LaunchOptions;
import dev.lockstep.launcher.Launcher;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jspecify.annotations.Nullable;

/// `lockstep perf COLLECTIVE`: starts ranks as processes, or as threads with `--in-process`, and
/// prints nccl-tests' table; `lockstep perf step MODEL` times training steps.
public final class PerfCommand implements CommandProvider {
  static final String STEP = "step";

  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public PerfCommand() {}

  @Override
  public String name() {
    return "perf";
  }

  @Override
  public String summary() {
    return "benchmarks a collective in nccl-tests' columns, or a training step";
  }

  @Override
  public int run(List<String> arguments, PrintStream out, PrintStream err) throws Exception {
    if (!arguments.isEmpty() && arguments.getFirst().equals(STEP)) {
      return step(arguments, out, err);
    }
    if (arguments.isEmpty() || arguments.contains("--help") || arguments.contains("-h")) {
      out.print(PerfOptions.help());
      return arguments.isEmpty() ? 2 : 0;
    }
    PerfOptions options = PerfOptions.parse(arguments);
    var _ = options.plans(options.ranks());
    requireWritable(options.json());
    if (options.inProcess()) {
      return inThreads(options, out);
    }
    try (PrintStream table = new PrintStream(new RankZeroOutput(out), true, UTF_8)) {
      LaunchOptions local =
          LaunchOptions.local(options.ranks())
              .withBinding(Binding.ofCoresIfPossible(options.ranks()));
      return Launcher.launch(local, PerfJob.NAME, absolute(arguments), table, err);
    }
  }

  /// `lockstep perf step MODEL`: one rank runs here, several as processes.
  private static int step(List<String> arguments, PrintStream out, PrintStream err)
      throws IOException, InterruptedException {
    List<String> own = arguments.subList(1, arguments.size());
    if (own.isEmpty() || own.contains("--help") || own.contains("-h")) {
      out.print(StepOptions.help("lockstep perf step"));
      return own.isEmpty() ? 2 : 0;
    }
    StepOptions options = StepOptions.parse(own);
    if (options.plan()) {
      return StepExplain.run(own, out);
    }
    requireWritable(options.json());
    if (options.ranks() > 1) {
      LaunchOptions local = LaunchOptions.local(options.ranks());
      return Launcher.launch(local, PerfJob.NAME, absolute(arguments), out, err);
    }
    try (Job job = Job.inProcess(1, JobConfig.fromEnvironment()).getFirst()) {
      return StepRun.alone(job, Runtime.getRuntime().availableProcessors(), options, out);
    }
  }

  private static void requireWritable(@Nullable Path json) {
    if (json != null) {
      JsonFile.requireWritable(json);
    }
  }

  /// Ranks run elsewhere than the user's folder, so a relative file must not stay relative.
  private static List<String> absolute(List<String> arguments) {
    List<String> changed = new ArrayList<>(arguments);
    for (int i = 1; i < changed.size(); i++) {
      if (changed.get(i - 1).equals("--json")) {
        changed.set(i, Path.of(changed.get(i)).toAbsolutePath().toString());
      }
    }
    return changed;
  }

  static int inThreads(PerfOptions options, PrintStream out) throws Exception {
    List<Job> jobs = Job.inProcess(options.ranks(), JobConfig.fromEnvironment());
    try (ExecutorService threads = Executors.newFixedThreadPool(jobs.size())) {
      List<Future<Integer>> ranks = new ArrayList<>();
      for (Job job : jobs) {
        ranks.add(threads.submit(() -> runRank(job, options, out)));
      }
      int code = 0;
      Exception failure = null;
      for (Future<Integer> rank : ranks) {
        try {
          code = Math.max(code, rank.get());
        } catch (ExecutionException failed) {
          failure = plainest(failure, failed);
        }
      }
      if (failure != null) {
        throw failure;
      }
      return code;
    } finally {
      jobs.forEach(Job::close);
    }
  }

  /// Wrong input is what the user can mend: on some ranks it may come as another rank's failure.
  private static Exception plainest(@Nullable Exception before, ExecutionException failed) {
    Exception failure = failed.getCause() instanceof Exception cause ? cause : failed;
    return before == null || failure instanceof ConfigurationException ? failure : before;
  }

  private static int runRank(Job job, PerfOptions options, PrintStream out) throws IOException {
    try {
      return PerfJob.run(job, options, out);
    } catch (RuntimeException | IOException e) {
      job.fail(e, "perf");
      throw e;
    }
  }
}
