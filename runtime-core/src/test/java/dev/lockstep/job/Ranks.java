package dev.lockstep.job;

import dev.lockstep.cache.PrivateMode;
import dev.lockstep.memory.Scope;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/// Ranks of jobs for tests: the variables that a launcher would give them, and ranks that join.
final class Ranks {
  static final String TOKEN = "a secret of this test only";

  private Ranks() {}

  /// Returns variables as `lockstep run` sets them, for the store of an agent.
  static Map<String, String> ofAgent(Path folder, int port, int rank, int worldSize) {
    Map<String, String> variables = torchrun(rank, worldSize);
    variables.put(JobVariables.STORE_PORT, Integer.toString(port));
    variables.put(JobVariables.USE_AGENT_STORE, "True");
    variables.put(JobVariables.JOB_DIRECTORY, jobFolder(folder).toString());
    variables.put(JobVariables.TOKEN_FILE, tokenFile(folder, TOKEN).toString());
    return variables;
  }

  /// Returns variables as torchrun sets them on one node.
  static Map<String, String> torchrun(int rank, int worldSize) {
    Map<String, String> variables = new HashMap<>();
    variables.put("RANK", Integer.toString(rank));
    variables.put("WORLD_SIZE", Integer.toString(worldSize));
    variables.put("LOCAL_RANK", Integer.toString(rank));
    variables.put("LOCAL_WORLD_SIZE", Integer.toString(worldSize));
    variables.put("GROUP_RANK", "0");
    variables.put("GROUP_WORLD_SIZE", "1");
    variables.put("MASTER_ADDR", "127.0.0.1");
    return variables;
  }

  static Path tokenFile(Path folder, String token) {
    try {
      Path file = Files.createTempFile(folder, "token", "", PrivateMode.file());
      return Files.writeString(file, token + "\n");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Path jobFolder(Path folder) {
    try {
      Path jobFolder = folder.resolve("job");
      return Files.isDirectory(jobFolder)
          ? jobFolder
          : Files.createDirectory(jobFolder, PrivateMode.folder());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static JobConfig config(Map<String, String> variables) {
    return JobConfig.of(variables).withJoinTimeout(Duration.ofSeconds(8));
  }

  /// Joins all these ranks at once and returns them in order.
  ///
  /// @throws CompletionException if a rank cannot join; what each of them threw is in it
  static List<Job> joinAll(List<JobConfig> configs) {
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      List<CompletableFuture<Job>> joining = new ArrayList<>();
      for (JobConfig config : configs) {
        joining.add(CompletableFuture.supplyAsync(() -> Job.join(config), threads));
      }
      return joined(joining);
    }
  }

  /// Returns the jobs in order, or closes them and throws what the first rank did that failed; what
  /// the others threw, of which one may be the cause, is suppressed in it.
  private static List<Job> joined(List<CompletableFuture<Job>> joining) {
    List<Job> jobs = new ArrayList<>();
    CompletionException first = null;
    for (CompletableFuture<Job> each : joining) {
      try {
        jobs.add(each.join());
      } catch (CompletionException failure) {
        if (first == null) {
          first = failure;
        } else {
          first.addSuppressed(failure);
        }
      }
    }
    if (first != null) {
      for (Job job : jobs.reversed()) { // rank 0 waits for the others where it hosts the store
        Scope.afterFailure(first, job::close);
      }
      throw first;
    }
    return jobs;
  }
}
