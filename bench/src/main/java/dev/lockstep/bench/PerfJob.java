package dev.lockstep.bench;

import dev.lockstep.bench.step.StepOptions;
import dev.lockstep.bench.step.StepRun;
import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.job.Job;
import dev.lockstep.launcher.JobProvider;
import dev.lockstep.launcher.RankContext;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/// The ranks behind `lockstep perf`, as a job that only that command starts.
public final class PerfJob implements JobProvider {
  static final String NAME = "perf";
  private static final Duration TIMEOUT = Duration.ofMinutes(2);

  /// Makes the provider, as [java.util.ServiceLoader] asks for.
  public PerfJob() {}

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public String summary() {
    return "benchmarks a collective";
  }

  @Override
  public boolean isListed() {
    return false;
  }

  @Override
  public void help(String name, PrintStream out) {
    out.print(PerfOptions.help());
  }

  @Override
  public void check(List<String> arguments, int worldSize) {
    if (isStep(arguments)) {
      StepOptions.parse(arguments.subList(1, arguments.size()));
    } else if (!isLinks(arguments)) {
      var _ = PerfOptions.parse(arguments).plans(worldSize);
    }
  }

  @Override
  public int run(RankContext context, List<String> arguments) throws IOException {
    if (isStep(arguments)) {
      StepOptions step = StepOptions.parse(arguments.subList(1, arguments.size()));
      return StepRun.rank(
          context.job(), context.threads(), step, context.out(), context::stopRequested);
    }
    if (isLinks(arguments)) {
      return HostLinks.run(context.job(), arguments);
    }
    PerfOptions options = PerfOptions.parse(arguments);
    return run(context.job(), options, context.out());
  }

  private static boolean isStep(List<String> arguments) {
    return !arguments.isEmpty() && arguments.getFirst().equals(PerfCommand.STEP);
  }

  private static boolean isLinks(List<String> arguments) {
    return !arguments.isEmpty() && arguments.getFirst().equals(HostLinks.JOB_ARGUMENT);
  }

  /// Runs one rank and returns its exit code: 1 if any element was wrong on any rank.
  static int run(Job job, PerfOptions asked, PrintStream out) throws IOException {
    List<PerfPlan> plans = asked.plans(job.worldSize());
    PerfPlan first = plans.getFirst();
    Path json = asked.json();
    CommunicatorOptions options =
        new CommunicatorOptions(first.transport(), first.collective().mode(), TIMEOUT);
    try (Communicator communicator = Communicator.world(job, options)) {
      PerfReport report =
          new PerfReport(
              first,
              job.worldSize(),
              communicator.transport(),
              asked.verbose(),
              job.rank() == 0
                  ? out
                  : new PrintStream(
                      OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8));
      report.begin(rankLines(job), HostLinks.origin(communicator.links()));
      for (PerfPlan plan : plans) {
        measure(job, plan, communicator, report);
      }
      report.end();
      if (json != null && job.rank() == 0) {
        report.writeJson(json);
      }
      communicator.barrier();
      return report.wrong() == 0 ? 0 : 1;
    }
  }

  private static void measure(
      Job job, PerfPlan plan, Communicator communicator, PerfReport report) {
    try (PerfRank run = new PerfRank(job, plan, communicator)) {
      for (long bytes : plan.sizes(job.worldSize())) {
        if (plan.choices()) {
          report.add(run.choice(bytes));
        } else {
          report.add(run.measure(bytes));
        }
      }
      communicator.barrier(); // nobody takes memory from a rank that still checks
    }
  }

  private static List<String> rankLines(Job job) throws IOException {
    String mine =
        String.format(
            Locale.ROOT,
            "Rank %2d Group  0 Pid %6d on %10s device %2d [cpu] %s",
            job.rank(),
            ProcessHandle.current().pid(),
            job.host(),
            job.localRank(),
            processor());
    job.store().set("perf/rank/" + job.rank(), mine.getBytes(StandardCharsets.UTF_8));
    List<String> lines = new ArrayList<>();
    for (int rank = 0; rank < job.worldSize(); rank++) {
      lines.add(new String(job.store().get("perf/rank/" + rank, TIMEOUT), StandardCharsets.UTF_8));
    }
    return lines;
  }

  private static String processor() throws IOException {
    Path file = Path.of("/proc/cpuinfo");
    if (Files.isReadable(file)) {
      for (String line : Files.readAllLines(file)) {
        if (line.startsWith("model name")) {
          return line.substring(line.indexOf(':') + 1).strip();
        }
      }
    }
    return System.getProperty("os.arch", "unknown");
  }
}
