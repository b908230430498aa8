package dev.lockstep.launcher;

import dev.lockstep.failure.ConfigurationException;
import dev.lockstep.job.ErrorFile;
import dev.lockstep.job.FailureRecord;
import dev.lockstep.job.HostName;
import dev.lockstep.job.JobConfig;
import dev.lockstep.job.JobVariables;
import dev.lockstep.job.StoreOptions;
import dev.lockstep.job.StoreServer;
import dev.lockstep.launcher.process.Console;
import dev.lockstep.launcher.process.RankCommand;
import dev.lockstep.launcher.process.RankExit;
import dev.lockstep.launcher.process.SecondSignal;
import dev.lockstep.launcher.process.Supervisor;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// One job on one node, from the first process started to the last trace removed. On node 0 it
/// hosts the job's store.
final class NodeAgent {
  private static final int TOKEN_BYTES = 32;
  // Saving that takes longer is told, since nothing else seems to happen.
  private static final Duration SOON = Duration.ofMillis(1600);
  private static final Duration TO_CLEAN_UP = Duration.ofMillis(400);
  // For other nodes to hear of a failure from the store before it closes.
  private static final Duration NEWS_TIME = Duration.ofMillis(300);
  private static final Duration FAREWELL_POLL = Duration.ofMillis(100);

  private final LaunchOptions options;
  private final Rendezvous rendezvous;
  private final RankProcesses processes;
  private final String job;
  private final List<String> arguments;
  private final Console console;
  private final Supervisor.Patience patience;
  private final Supervisor supervisor;

  NodeAgent(LaunchOptions options, String job, List<String> arguments, Console console) {
    this.options = options;
    this.rendezvous = options.rendezvous();
    this.processes = options.processes();
    this.job = job;
    this.arguments = List.copyOf(arguments);
    this.console = console;
    this.patience = Supervisor.Patience.standard(processes.stopPatience());
    this.supervisor = new Supervisor(console, patience);
  }

  int run() throws IOException, InterruptedException {
    Thread atExit = new Thread(this::stop, "lockstep-stop");
    Runtime.getRuntime().addShutdownHook(atExit);
    try {
      return inFolder();
    } finally {
      supervisor.close();
      forget(atExit);
    }
  }

  /// Lets the ranks save and end while this JVM goes down.
  private void stop() {
    SecondSignal.listen(supervisor::force);
    supervisor.stop();
    if (!supervisor.awaitClosed(SOON)) {
      console.say(
          "lockstep: ranks have %s s to save and end (Ctrl-C again ends them at once)"
              .formatted(seconds(processes.stopPatience())));
      var _ = supervisor.awaitClosed(patience.longestStop().plus(TO_CLEAN_UP));
    }
  }

  private static String seconds(Duration time) {
    return BigDecimal.valueOf(time.toMillis(), 3).stripTrailingZeros().toPlainString();
  }

  private static void forget(Thread atExit) {
    try {
      Runtime.getRuntime().removeShutdownHook(atExit);
    } catch (IllegalStateException _) {
      // The JVM is going down and runs it.
    }
  }

  private int inFolder() throws IOException, InterruptedException {
    try (JobFolder folder = JobFolder.make(options.environment())) {
      Path tokenFile = tokenFile(folder);
      if (rendezvous.nodeRank() > 0) {
        return watch(folder, environment(folder, tokenFile, rendezvous.port()), null);
      }
      try (StoreServer store = startStore(tokenFile)) {
        return watch(folder, environment(folder, tokenFile, store.port()), store);
      }
    }
  }

  private Path tokenFile(JobFolder folder) {
    String given = options.environment().get(JobVariables.TOKEN_FILE);
    if (given != null && !given.isBlank()) {
      return Path.of(given);
    }
    if (options.layout().nodes() > 1) {
      throw new ConfigurationException(
          JobVariables.TOKEN_FILE,
          "",
          "a job of several nodes needs a token that all of them know: %s is not set, --nnodes=%d (write 32 random bytes to a file of mode 0600, as by (umask 077; head -c 32 /dev/urandom > token), copy it to every node and name it there)"
              .formatted(JobVariables.TOKEN_FILE, options.layout().nodes()));
    }
    byte[] token = new byte[TOKEN_BYTES];
    new SecureRandom().nextBytes(token);
    return folder.write("token", HexFormat.of().formatHex(token));
  }

  private StoreServer startStore(Path tokenFile) {
    Duration liveness = JobConfig.of(options.environment()).liveness();
    int worldSize = options.layout().worldSize();
    StoreOptions wanted =
        options.layout().nodes() == 1
            ? StoreOptions.of(Rendezvous.LOOPBACK, rendezvous.port(), worldSize, liveness)
            : StoreOptions.forOtherNodes(rendezvous.host(), rendezvous.port(), worldSize, liveness);
    StoreServer store = listen(wanted, tokenFile);
    store.onFailure(_ -> supervisor.fail());
    return store;
  }

  private StoreServer listen(StoreOptions wanted, Path tokenFile) {
    try {
      return StoreServer.start(wanted, tokenFile);
    } catch (ConfigurationException e) {
      if (!e.key().equals(JobVariables.STORE_PORT)) {
        throw e;
      }
      String endpoint = rendezvous.host() + ":" + rendezvous.port();
      String reason = e.getCause() == null ? e.getMessage() : e.getCause().getMessage();
      throw new ConfigurationException(
          "--rdzv-endpoint",
          endpoint,
          "store cannot listen: --rdzv-endpoint=%s, reason=%s (give another port in --rdzv-endpoint, and an address of node 0)"
              .formatted(endpoint, reason),
          e);
    }
  }

  private WorkerEnvironment environment(JobFolder folder, Path tokenFile, int storePort) {
    String runId = rendezvous.runId().isEmpty() ? "none" : rendezvous.runId();
    return new WorkerEnvironment(options, runId, storePort, tokenFile, folder.path());
  }

  /// Runs the ranks to their ends. None lives when this returns or throws, but those that even
  /// force does not end: what ranks share is removed after it.
  private int watch(JobFolder folder, WorkerEnvironment environment, @Nullable StoreServer store)
      throws IOException, InterruptedException {
    try {
      return startAndAwait(folder, environment, store);
    } finally {
      supervisor.endAll();
    }
  }

  private int startAndAwait(
      JobFolder folder, WorkerEnvironment environment, @Nullable StoreServer store)
      throws IOException, InterruptedException {
    List<Path> errorFiles = new ArrayList<>();
    for (int localRank = 0; localRank < options.layout().ranksPerNode(); localRank++) {
      Path logFolder = logFolder(environment.rank(localRank));
      Path errorFile =
          (logFolder == null ? folder.path().resolve("rank" + localRank) : logFolder)
              .resolve("error.json");
      errorFiles.add(errorFile);
      start(environment, localRank, errorFile, logFolder);
    }
    List<RankExit> exits =
        supervisor.await(first -> tell(store, first(List.of(first), Optional.empty(), errorFiles)));
    Optional<FailureRecord> recorded = Optional.empty();
    if (store != null && options.layout().nodes() > 1) {
      if (!supervisor.isStopping()) {
        // Where all ranks of this node are gone before one was to be asked to end.
        tell(store, first(exits, Optional.empty(), errorFiles));
      }
      awaitOthers(store);
    }
    if (store != null) {
      recorded = store.failure();
    }
    return conclude(exits, recorded, errorFiles);
  }

  private Optional<FailureReport> first(
      List<RankExit> exits, Optional<FailureRecord> recorded, List<Path> errorFiles) {
    return FailureReport.of(
        exits,
        recorded,
        rank -> ErrorFile.readFirst(errorFiles.get(rank - firstRank()), rank, HostName.local()));
  }

  private @Nullable Path logFolder(int rank) {
    Path all = processes.logFolder();
    return all == null ? null : all.resolve("rank" + rank).toAbsolutePath();
  }

  private void start(
      WorkerEnvironment environment, int localRank, Path errorFile, @Nullable Path logFolder)
      throws IOException {
    prepare(errorFile);
    List<String> program = new ArrayList<>();
    program.add(job);
    program.addAll(arguments);
    int rank = environment.rank(localRank);
    RankCommand command =
        new RankCommand(
            localRank,
            rank,
            command(localRank, program),
            environment.of(localRank, errorFile),
            WorkerEnvironment.withheld(options.environment()),
            logFolder);
    boolean alone = options.layout().worldSize() == 1;
    boolean live = rank == 0 && processes.terminalColumns().isPresent();
    supervisor.start(command, alone ? "" : "[rank" + rank + "]: ", live);
  }

  private List<String> command(int localRank, List<String> program) {
    List<String> command = new ArrayList<>();
    if (processes.binding() == Binding.CORES) {
      command.addAll(CoreShares.command(localRank, options.layout().ranksPerNode()));
    }
    command.addAll(ChildJvm.command(processes.jvmArguments(), program));
    return command;
  }

  /// Makes the log folder of a rank, where it has one, and removes what an earlier job has left
  /// there: it would pass for this one's failure.
  private void prepare(Path errorFile) throws IOException {
    try {
      if (processes.logFolder() != null) {
        Files.createDirectories(errorFile.getParent());
      }
      Files.deleteIfExists(errorFile);
    } catch (IOException e) {
      if (processes.logFolder() == null) {
        throw e;
      }
      throw new ConfigurationException(
          "--log-dir",
          processes.logFolder().toString(),
          "logs cannot be kept there: --log-dir=%s, cause=%s (name a folder that this user may write)"
              .formatted(processes.logFolder(), words(e)),
          e);
    }
  }

  private static String words(IOException e) {
    return switch (e) {
      case AccessDeniedException denied -> "access is denied to " + denied.getFile();
      case FileAlreadyExistsException there -> there.getFile() + " is no folder";
      default -> String.valueOf(e.getMessage());
    };
  }

  /// Tells the other nodes of a process that ended, unless the store knows better: it may have died
  /// before it ever came there.
  private static void tell(@Nullable StoreServer store, Optional<FailureReport> failure) {
    if (store != null && store.failure().isEmpty()) {
      failure.map(FailureReport::record).ifPresent(store::fail);
    }
  }

  /// The store stays for as long as ranks of other nodes need it.
  private void awaitOthers(StoreServer store) {
    boolean gone = false;
    while (!gone && store.failure().isEmpty() && !supervisor.isStopping()) {
      gone = store.awaitFarewells(FAREWELL_POLL);
    }
    if (!gone) {
      var _ = store.awaitFarewells(NEWS_TIME);
    }
  }

  private int conclude(
      List<RankExit> exits, Optional<FailureRecord> recorded, List<Path> errorFiles) {
    if (supervisor.isStopping()) {
      console.say("lockstep: stopped");
      tellForced(exits);
    }
    Optional<FailureReport> report = first(exits, recorded, errorFiles);
    if (report.isEmpty() || report.get().isOfStop(supervisor.stopMillis())) {
      return 0;
    }
    FailureReport failure = report.get();
    console.say(failure.text(options.layout().worldSize()));
    writeErrorFiles(failure.record(), errorFiles);
    return failure.exitCode();
  }

  private void tellForced(List<RankExit> exits) {
    List<Integer> forced = exits.stream().filter(RankExit::isForced).map(RankExit::rank).toList();
    if (!forced.isEmpty()) {
      console.say(
          "lockstep: ranks were ended by force before they had saved: ranks=%s, stopPatienceSeconds=%s (what they saved before stands; --stop-patience gives them longer)"
              .formatted(forced.stream().sorted().toList(), seconds(processes.stopPatience())));
    }
  }

  /// Leaves the first failure where somebody around this process looks for it, and beside the log
  /// of a rank that died before it could.
  private void writeErrorFiles(FailureRecord first, List<Path> errorFiles) {
    String given = options.environment().get("TORCHELASTIC_ERROR_FILE");
    if (given != null && !given.isBlank()) {
      ErrorFile.write(Path.of(given), first, first);
    }
    int localRank = first.rank() - firstRank();
    if (processes.logFolder() != null && localRank >= 0 && localRank < errorFiles.size()) {
      Path file = errorFiles.get(localRank);
      if (!Files.exists(file)) {
        ErrorFile.write(file, first, first);
      }
    }
  }

  private int firstRank() {
    return options.rank(0);
  }
}
