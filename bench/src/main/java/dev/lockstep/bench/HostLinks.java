package dev.lockstep.bench;

import dev.lockstep.cache.UserCache;
import dev.lockstep.collective.Communicator;
import dev.lockstep.collective.CommunicatorOptions;
import dev.lockstep.collective.LinkSource;
import dev.lockstep.collective.plan.LinkCache;
import dev.lockstep.collective.plan.LinkDoubts;
import dev.lockstep.collective.plan.LinkTable;
import dev.lockstep.collective.simulate.Compute;
import dev.lockstep.collective.simulate.Level;
import dev.lockstep.collective.simulate.PeerRates;
import dev.lockstep.collective.simulate.Rates;
import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.Job;
import dev.lockstep.job.JobConfig;
import dev.lockstep.launcher.LaunchOptions;
import dev.lockstep.launcher.Launcher;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/// What the links between ranks of this host cost: as it was measured before and kept, or as ranks
/// that are started for this alone measure it now, with more patience than a job has.
final class HostLinks {
  /// The first argument of the job that measures; then transport, file for the table, and whether
  /// to measure whatever is kept.
  static final String JOB_ARGUMENT = "links";

  /// As the launcher starts them.
  private static final String USUAL_TRANSPORT = "shm";

  private static final Duration WARM_UP = Duration.ofSeconds(3);

  private HostLinks() {}

  /// Returns the table for ranks on this host.
  ///
  /// @param transport name; empty for the one that is chosen
  /// @param anew whether to measure whatever is kept
  /// @param err where ranks say what is wrong
  /// @throws ConfigurationException if ranks cannot measure
  static LinkTable table(int ranks, String transport, boolean anew, PrintStream err)
      throws IOException, InterruptedException {
    if (ranks == 1) {
      return LinkTable.typical("none", false);
    }
    Optional<LinkTable> kept = anew ? Optional.empty() : kept(ranks, transport);
    return kept.isPresent() ? kept.get() : measured(ranks, transport, anew, err);
  }

  private static Optional<LinkTable> kept(int ranks, String transport) {
    boolean eachHasACore = ranks <= Runtime.getRuntime().availableProcessors();
    try (Job job = Job.inProcess(1, JobConfig.fromEnvironment()).getFirst()) {
      String name = transport.isEmpty() ? USUAL_TRANSPORT : transport;
      return UserCache.find(System.getenv())
          .map(LinkCache::new)
          .flatMap(cache -> cache.find(LinkTable.key(name, ranks, 1, job.host()), Instant.now()))
          .filter(table -> LinkDoubts.of(table, ranks, ranks, eachHasACore).isEmpty());
    }
  }

  private static LinkTable measured(int ranks, String transport, boolean anew, PrintStream err)
      throws IOException, InterruptedException {
    Path file = Files.createTempFile("lockstep", ".links");
    try (PrintStream nowhere =
        new PrintStream(OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8)) {
      List<String> arguments =
          List.of(JOB_ARGUMENT, transport, file.toString(), Boolean.toString(anew));
      int code = Launcher.launch(LaunchOptions.local(ranks), PerfJob.NAME, arguments, nowhere, err);
      if (code != 0) {
        throw new ConfigurationException(
            "--ranks",
            Integer.toString(ranks),
            "ranks could not measure their links: --ranks=%d, exitCode=%d (see above, or name a --fabric)"
                .formatted(ranks, code));
      }
      return LinkTable.decode(Files.readString(file));
    } finally {
      Files.deleteIfExists(file);
    }
  }

  /// One rank of the job that measures.
  ///
  /// @param arguments as [#JOB_ARGUMENT] says
  static int run(Job job, List<String> arguments) throws IOException {
    LinkSource links =
        new LinkSource.Fitted(
            UserCache.find(System.getenv()), WARM_UP, Boolean.parseBoolean(arguments.get(3)));
    CommunicatorOptions options =
        CommunicatorOptions.defaults().withTransport(arguments.get(1)).withLinks(links);
    try (Communicator communicator = Communicator.world(job, options)) {
      if (job.rank() == 0) {
        Files.writeString(Path.of(arguments.get(2)), communicator.links().encode());
      }
      communicator.barrier();
    }
    return 0;
  }

  /// Returns whence the constants of a table are, in words.
  static String origin(LinkTable table) {
    return table.key().isEmpty()
        ? "typical ones, nothing measured here is at hand"
        : "measured at %s, %s".formatted(table.fitted(), table.key());
  }

  /// Returns a table in words.
  static String words(LinkTable table) {
    Compute compute = table.fabric().compute();
    Level level = table.fabric().levels().getFirst();
    StringBuilder words = new StringBuilder();
    words.append("links: ").append(origin(table)).append('\n');
    words.append(
        String.format(
            Locale.ROOT,
            "call %.0f ns, step %.0f ns, signal %.0f ns, message %.0f ns, up to %d bytes %.0f ns%n",
            compute.startNanos(),
            compute.stepNanos(),
            level.signalNanos(),
            level.messageNanos(),
            level.shortBytes(),
            level.shortNanos()));
    List<Long> buffers =
        compute.copy().points().stream().map(Rates.Point::workingSetBytes).toList();
    words.append(
        rates(
            buffers,
            List.of("copy (GB/s)", "join (GB/s)", "send (GB/s)"),
            List.of(compute.copy(), compute.join(), level.bandwidth())));
    if (level.shortBytes() > 0) {
      PeerRates memory = level.memory();
      words.append("peers' memory, in place:\n");
      words.append(
          rates(
              buffers,
              List.of("read (GB/s)", "read result", "join", "write over", "write", "swap"),
              List.of(
                  memory.read(),
                  memory.fetch(),
                  memory.join(),
                  memory.spread(),
                  memory.write(),
                  memory.swap())));
    }
    return words.append('\n').toString();
  }

  private static String rates(List<Long> buffers, List<String> names, List<Rates> rates) {
    StringBuilder lines = new StringBuilder("%14s".formatted("all buffers"));
    names.forEach(name -> lines.append("  %12s".formatted(name)));
    lines.append('\n');
    for (long bytes : buffers) {
      lines.append(String.format(Locale.ROOT, "%14d", bytes));
      rates.forEach(each -> lines.append("  %12s".formatted(rate(each, bytes))));
      lines.append('\n');
    }
    return lines.toString();
  }

  private static String rate(Rates rates, long workingSetBytes) {
    double rate = 1 / rates.nanosPerByte(workingSetBytes);
    return rate > 1000 ? "no limit" : String.format(Locale.ROOT, "%.2f", rate);
  }
}
